#include "predict.hpp"

#include "arguments.hpp"
#include "random.hpp"

#include <boost/asio.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

/// A blocking connection: what Client::run() and Plan::fetch() want of a stream.
class Link {
  public:
    explicit Link(const std::string &address) : socket_(context_) {
        const auto [host, port] = split_address(address);
        asio::connect(socket_, tcp::resolver(context_).resolve(host, port));
        socket_.set_option(tcp::no_delay(true));
    }

    std::size_t read(std::uint8_t *out, std::size_t capacity) {
        boost::system::error_code error;
        const std::size_t n = socket_.read_some(asio::buffer(out, capacity), error);
        if (error && error != asio::error::eof) throw boost::system::system_error(error);
        return n;
    }

    std::size_t write(const std::uint8_t *bytes, std::size_t len) {
        return asio::write(socket_, asio::buffer(bytes, len));
    }

  private:
    asio::io_context context_;
    tcp::socket socket_;
};

/// Adds what a phase took to its account.
class Meter {
  public:
    explicit Meter(const minionn::Client &client)
        : client_(client), before_(client.progress().traffic) {}
    void add_to(Phase &phase) const {
        const auto now = client_.progress().traffic;
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
    std::filesystem::permissions(path, std::filesystem::perms::owner_read |
                                           std::filesystem::perms::owner_write);
    out.write(reinterpret_cast<const char *>(half.data()),
              static_cast<std::streamsize>(half.size()));
    if (!out.flush()) throw std::runtime_error(path + ": cannot be written");
}

} // namespace

Report predict(const std::string &address, std::optional<minionn::Plan> plan,
               const minionn::Options &options, const Rows &rows, const std::string &pairing) {
    Link link(address);
    if (!plan) plan = minionn::Plan::fetch(link);
    for (const auto &row : rows)
        if (row.size() != plan->info().input_length)
            throw minionn::Error(MINIONN_ERROR_LENGTH, "input");

    const auto half = pairing.empty() ? std::nullopt : read_pairing(pairing);
    auto client = half ? minionn::Client(*plan, options, system_random(), *half)
                       : minionn::Client(*plan, options, system_random());
    Report report;
    report.argmax_only = plan->info().argmax;
    const auto measured = [&](Phase &phase, auto &&command) {
        const Meter meter(client);
        command();
        client.run(link);
        meter.add_to(phase);
    };
    measured(report.setup, [] {});
    if (!half && !pairing.empty())
        measured(report.setup, [&] { write_pairing(pairing, client.export_pairing()); });
    for (const auto &row : rows) {
        if (client.remaining() == 0) measured(report.offline, [&] { client.prepare(); });
        measured(report.online, [&] { client.predict(row); });
        report.predictions.push_back(client.answer());
    }
    client.close();
    client.run(link);
    return report;
}
