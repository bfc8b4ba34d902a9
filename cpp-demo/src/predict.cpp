#include "predict.hpp"

#include "arguments.hpp"
#include "random.hpp"

#include <boost/asio.hpp>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

/// A blocking connection that keeps bytes which came too early.
class Link {
  public:
    explicit Link(const std::string &address) : socket_(context_) {
        const auto [host, port] = split_address(address);
        asio::connect(socket_, tcp::resolver(context_).resolve(host, port));
        socket_.set_option(tcp::no_delay(true));
    }

    /// Asks the server for its plan.
    minionn::Plan fetch_plan() {
        asio::write(socket_, asio::buffer(minionn::Plan::request()));
        for (;;) {
            if (auto plan = minionn::Plan::take(early_)) return *plan;
            if (!read_more()) throw minionn::Error(MINIONN_ERROR_EOF);
        }
    }

    /// Runs the session until it waits for a command, or has ended in order.
    void run(minionn::Client &client) {
        for (;;) {
            const auto taken = client.feed(early_.data(), early_.size());
            early_.erase(early_.begin(), early_.begin() + static_cast<std::ptrdiff_t>(taken));
            const auto state = poll(client);
            if (send(client) || taken != 0) continue;
            if (state != MINIONN_BUSY) return;
            if (!read_more()) client.end_of_input();
        }
    }

  private:
    /// Polls; after an error, still sends what tells the server why.
    minionn::State poll(minionn::Client &client) {
        try {
            return client.poll();
        } catch (const minionn::Error &) {
            try {
                send(client);
            } catch (const boost::system::system_error &) {
                // The first error says more.
            }
            throw;
        }
    }

    /// Returns whether there was anything to send.
    bool send(minionn::Client &client) {
        bool any = false;
        while (const std::size_t n = client.drain(buffer_.data(), buffer_.size())) {
            asio::write(socket_, asio::buffer(buffer_, n));
            any = true;
        }
        return any;
    }

    /// Returns false at the end of the stream.
    bool read_more() {
        boost::system::error_code error;
        const std::size_t n = socket_.read_some(asio::buffer(buffer_), error);
        if (error && error != asio::error::eof) throw boost::system::system_error(error);
        early_.insert(early_.end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(n));
        return n != 0;
    }

    asio::io_context context_;
    tcp::socket socket_;
    std::array<std::uint8_t, 1 << 16> buffer_;
    minionn::Bytes early_;
};

/// Adds what a phase took to its account.
class Meter {
  public:
    explicit Meter(const minionn::Client &client) : client_(client), before_(client.traffic()) {}
    void add_to(Phase &phase) const {
        const auto now = client_.traffic();
        phase.seconds += std::chrono::duration<double>(Clock::now() - began_).count();
        phase.bytes_sent += now.sent - before_.sent;
        phase.bytes_received += now.received - before_.received;
        phase.rounds += now.rounds - before_.rounds;
    }

  private:
    const minionn::Client &client_;
    minionn::Traffic before_;
    Clock::time_point began_ = Clock::now();
};

/// The pairing in a file, if there is one.
std::optional<minionn::Pairing> read_pairing(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return std::nullopt;
    return minionn::Pairing(minionn::Bytes(std::istreambuf_iterator<char>(in), {}));
}

/// A file that only its owner may read.
void write_pairing(const std::string &path, const minionn::Bytes &half) {
    std::ofstream out(path, std::ios::binary);
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    out.write(reinterpret_cast<const char *>(half.data()), static_cast<std::streamsize>(half.size()));
    if (!out.flush()) throw std::runtime_error(path + ": cannot be written");
}

} // namespace

Report predict(const std::string &address, std::optional<minionn::Plan> plan, const minionn::Options &options, const Rows &rows,
               const std::string &pairing) {
    Link link(address);
    if (!plan) plan = link.fetch_plan();
    for (const auto &row : rows)
        if (row.size() != plan->info().input_length) throw minionn::Error(MINIONN_ERROR_LENGTH, "input");

    const auto half = pairing.empty() ? std::nullopt : read_pairing(pairing);
    auto client = half ? minionn::Client(*plan, options, system_random(), *half) : minionn::Client(*plan, options, system_random());
    Report report;
    report.argmax_only = plan->info().argmax;
    const auto measured = [&](Phase &phase, auto &&command) {
        const Meter meter(client);
        command();
        link.run(client);
        meter.add_to(phase);
    };
    measured(report.setup, [] {});
    if (!half && !pairing.empty()) measured(report.setup, [&] { write_pairing(pairing, client.export_pairing()); });
    for (const auto &row : rows) {
        if (client.left() == 0) measured(report.offline, [&] { client.prepare(); });
        measured(report.online, [&] { client.predict(row); });
        report.predictions.push_back(client.answer());
    }
    client.close();
    link.run(client);
    return report;
}
