#include "serve.hpp"

#include "arguments.hpp"
#include "random.hpp"

#include <array>
#include <chrono>
#include <iostream>
#include <optional>
#include <sstream>

namespace asio = boost::asio;
using asio::ip::tcp;

Models::Models(minionn::Bytes bytes, std::uint32_t max_stock)
    : bytes_(std::make_shared<const minionn::Bytes>(std::move(bytes))), max_stock_(max_stock) {
    plan_ = std::make_unique<const minionn::Plan>(get(1)->plan());
}

std::shared_ptr<const minionn::Model> Models::get(std::uint32_t stock) {
    if (stock > max_stock_)
        throw minionn::Error(MINIONN_ERROR_REFUSED, "a stock of " + std::to_string(stock));
    const std::lock_guard<std::mutex> lock(mutex_);
    auto &model = models_[stock];
    if (!model) model = std::make_shared<const minionn::Model>(bytes_, stock);
    return model;
}

std::optional<minionn::Pairing> Pairings::get(const minionn::PairingId &id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto half = halves_.begin(); half != halves_.end(); ++half) {
        if (half->id() != id) continue;
        halves_.splice(halves_.begin(), halves_, half);
        return *half;
    }
    return std::nullopt;
}

void Pairings::keep(minionn::Pairing half) {
    const std::lock_guard<std::mutex> lock(mutex_);
    halves_.remove_if([&](const minionn::Pairing &other) { return other.id() == half.id(); });
    halves_.push_front(std::move(half));
    if (halves_.size() > most_) halves_.pop_back();
}

void Pairings::forget(const minionn::PairingId &id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    halves_.remove_if([&](const minionn::Pairing &half) { return half.id() == id; });
}

namespace {

/// How long a silent client is waited for.
constexpr auto IDLE = std::chrono::minutes(10);
/// How long a client that was told to go may still send.
constexpr auto LINGER = std::chrono::seconds(5);

/// One client. At most one read or write is under way, and a strand keeps the timer apart, so no
/// lock is needed.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(tcp::socket socket, std::shared_ptr<Service> service)
        : socket_(std::move(socket)), timer_(socket_.get_executor()), service_(std::move(service)) {
    }

    void start() {
        boost::system::error_code ignored;
        socket_.set_option(tcp::no_delay(true), ignored);
        peer_ = name();
        read();
    }

  private:
    std::string name() const {
        boost::system::error_code error;
        std::ostringstream out;
        out << socket_.remote_endpoint(error);
        return error ? "unknown" : out.str();
    }

    void read() {
        watch(IDLE);
        socket_.async_read_some(
            asio::buffer(in_),
            [self = shared_from_this()](boost::system::error_code error, std::size_t n) {
                if (error) return self->ended(error == asio::error::eof);
                self->received_.insert(self->received_.end(), self->in_.begin(),
                                       self->in_.begin() + static_cast<std::ptrdiff_t>(n));
                self->work();
            });
    }

    /// Does all that can be done with what was received, up to the next write or read.
    void work() {
        try {
            if (!session_ && !greet()) return;
            step();
        } catch (const minionn::Error &error) {
            refuse(error);
        } catch (const std::exception &error) {
            // No memory, say: one client's misfortune must not be everyone's.
            error_ = error.what();
            ended(true);
        }
    }

    /// Reads what the client asks for. Returns whether there is a session; else a read or write is
    /// under way.
    bool greet() {
        const auto greeting = minionn::Greeting::peek(received_, minionn::Options());
        if (!greeting) return read(), false;
        if (greeting->kind == MINIONN_GREETING_PLAN_REQUEST) {
            received_.erase(received_.begin(),
                            received_.begin() + static_cast<std::ptrdiff_t>(greeting->size));
            out_ = service_->models.plan().reply();
            return write(false), false;
        }
        const auto model = service_->models.get(greeting->options.stock);
        if (!greeting->pairing) {
            session_.emplace(model, greeting->options, system_random());
            return true;
        }
        const auto pairing = service_->pairings.get(*greeting->pairing);
        if (!pairing) throw minionn::Error(MINIONN_ERROR_UNKNOWN_PAIRING);
        named_ = greeting->pairing;
        session_.emplace(model, greeting->options, system_random(), *pairing);
        return true;
    }

    /// Keeps this server's half of the pairing, once the client asks for it.
    void keep() {
        if (kept_ || !session_->progress().keep_asked) return;
        kept_ = true;
        minionn::Pairing half(session_->export_pairing());
        named_ = half.id();
        service_->pairings.keep(std::move(half));
    }

    /// One turn of the session: feed, poll, drain.
    void step() {
        for (;;) {
            const auto taken = session_->feed(received_.data(), received_.size());
            received_.erase(received_.begin(),
                            received_.begin() + static_cast<std::ptrdiff_t>(taken));
            const auto state = session_->poll();
            keep();
            if (drain(false)) return;
            if (state == MINIONN_CLOSED) return ended(true);
            if (received_.empty()) return read();
        }
    }

    /// Sends what waits, if there is anything: then a write is under way.
    bool drain(bool last) {
        out_.resize(session_->progress().pending);
        session_->drain(out_.data(), out_.size());
        if (out_.empty()) return false;
        write(last);
        return true;
    }

    /// Tells the client why it ends: a session does that itself.
    void refuse(const minionn::Error &error) {
        error_ = error.what();
        // Whoever tries to guess the server's secret has one attempt with a pairing.
        if (error.status() == MINIONN_ERROR_INCONSISTENT && named_)
            service_->pairings.forget(*named_);
        try {
            if (!session_) {
                out_ = minionn::Greeting::refusal(error.status());
                write(true);
            } else if (!drain(true)) {
                ended(true);
            }
        } catch (const minionn::Error &) {
            ended(true);
        }
    }

    void write(bool last) {
        watch(IDLE);
        asio::async_write(
            socket_, asio::buffer(out_),
            [self = shared_from_this(), last](boost::system::error_code error, std::size_t) {
                if (error) return self->ended(false);
                last ? self->linger() : self->work();
            });
    }

    /// Closing at once would throw away what the client has not read yet, such as the reason: it
    /// may still be sending.
    void linger() {
        boost::system::error_code ignored;
        socket_.shutdown(tcp::socket::shutdown_send, ignored);
        watch(LINGER);
        discard();
    }

    void discard() {
        socket_.async_read_some(
            asio::buffer(in_),
            [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                error ? self->ended(true) : self->discard();
            });
    }

    /// Closes the connection if this is not called again in time.
    void watch(std::chrono::steady_clock::duration limit) {
        timer_.expires_after(limit);
        timer_.async_wait([self = weak_from_this()](boost::system::error_code error) {
            if (const auto connection = self.lock(); connection && !error)
                connection->socket_.close();
        });
    }

    void ended(bool in_order) {
        timer_.cancel();
        if (!in_order && error_.empty()) error_ = "the connection broke";
        std::ostringstream line;
        line << peer_ << ": " << (session_ ? session_->progress().predictions : 0)
             << " predictions";
        if (!error_.empty()) line << ", then " << error_;
        std::cerr << line.str() + '\n';
    }

    tcp::socket socket_;
    asio::steady_timer timer_;
    std::shared_ptr<Service> service_;
    std::optional<minionn::Server> session_;
    bool kept_ = false;
    /// The session's pairing, if it is one that is kept.
    std::optional<minionn::PairingId> named_;
    std::array<std::uint8_t, 1 << 16> in_;
    minionn::Bytes received_, out_;
    std::string peer_, error_;
};

} // namespace

Listener::Listener(asio::io_context &context, const std::string &address,
                   std::shared_ptr<Service> service, bool once)
    : acceptor_(context), service_(std::move(service)), once_(once) {
    const auto [host, port] = split_address(address);
    const tcp::endpoint endpoint =
        *tcp::resolver(context).resolve(host, port, tcp::resolver::passive).begin();
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen();
    accept();
}

void Listener::accept() {
    acceptor_.async_accept(
        asio::make_strand(acceptor_.get_executor()),
        [this](boost::system::error_code error, tcp::socket socket) {
            if (error == asio::error::operation_aborted) return;
            if (!error) std::make_shared<Connection>(std::move(socket), service_)->start();
            if (error || !once_) accept();
        });
}
