// Both parties over loopback: many clients at a time, answers equal to the integer model, bytes
// equal to the plan's.

#include "predict.hpp"
#include "serve.hpp"

#include <cstdio>
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>
#include <sstream>
#include <thread>

namespace {

using boost::asio::ip::tcp;

int failures = 0;

void expect(bool holds, const std::string &what) {
    if (holds) return;
    std::cerr << "FAILED: " << what << '\n';
    ++failures;
}

/// What `minionn plain` prints: a line for each row.
std::vector<std::string> plain(const std::string &command) {
    std::FILE *pipe = popen(command.c_str(), "r");
    std::string text;
    char part[4096];
    while (pipe != nullptr && std::fgets(part, sizeof part, pipe) != nullptr) text += part;
    if (pipe == nullptr || pclose(pipe) != 0) throw std::runtime_error("failed: " + command);
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

/// A prediction as `minionn plain` prints it.
std::string line(std::size_t row, const minionn::Answer &answer) {
    std::string out = std::to_string(row) + ": " + std::to_string(answer.argmax) + " ";
    for (std::size_t i = 0; i < answer.logits.size(); ++i) {
        char number[64];
        std::snprintf(number, sizeof number, "%s%.4f", i == 0 ? "" : " ", answer.logits[i]);
        out += number;
    }
    return out;
}

struct Case {
    std::uint32_t stock;
    std::uint8_t tables;
    bool has_plan;
};

void check(const std::string &address, const minionn::Plan &plan, const Case &c, const Rows &rows,
           const std::vector<std::string> &expected) {
    minionn::Options options;
    options.stock = c.stock;
    options.tables = c.tables;
    const Report report = predict(
        address, c.has_plan ? std::optional<minionn::Plan>(plan) : std::nullopt, options, rows);
    const std::string name =
        "stock " + std::to_string(c.stock) + ", tables " + std::to_string(c.tables);
    expect(report.predictions.size() == rows.size(), name + ": as many predictions as rows");
    for (std::size_t i = 0; i < rows.size(); ++i)
        expect(line(i, report.predictions[i]) == expected[i], name + ": row " + std::to_string(i));

    const auto cost = plan.cost(options);
    const auto equal = [&](const Phase &phase, const minionn_phase &planned, std::uint64_t times) {
        return phase.bytes_sent == planned.up * times &&
               phase.bytes_received == planned.down * times &&
               phase.rounds == planned.rounds * times;
    };
    expect(equal(report.setup, cost.setup, 1), name + ": bytes of set-up");
    expect(equal(report.offline, cost.offline, (rows.size() + c.stock - 1) / c.stock),
           name + ": bytes offline");
    expect(equal(report.online, cost.online, rows.size()), name + ": bytes online");
}

void too_large_a_stock(const std::string &address, const Rows &rows) {
    minionn::Options options;
    options.stock = 9;
    try {
        predict(address, std::nullopt, options, rows);
        expect(false, "a stock of 9 is refused");
    } catch (const minionn::Error &error) {
        expect(error.status() == MINIONN_ERROR_PEER_ABORTED,
               std::string("refused by the server, not: ") + error.what());
        expect(std::string(error.what()).find("refused") != std::string::npos,
               std::string("the reason is told, not: ") + error.what());
    }
}

void no_client(boost::asio::io_context &context, const tcp::endpoint &address) {
    tcp::socket socket(context);
    socket.connect(address);
    boost::asio::write(socket, boost::asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
    std::string answer;
    boost::system::error_code error;
    boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
    expect(answer.size() == MINIONN_REFUSAL_BYTES && static_cast<unsigned char>(answer[0]) == 255,
           "what is no client is told to go");
}

} // namespace

int main(int argc, char **argv) try {
    if (argc != 4) throw std::runtime_error("arguments: MINIONN MODEL X.npy");
    std::ifstream in(argv[2], std::ios::binary);
    const minionn::Bytes bytes{std::istreambuf_iterator<char>(in), {}};
    Rows rows = read_npy(argv[3]);
    rows.resize(5);
    const auto expected = plain(std::string(argv[1]) + " plain " + argv[2] + " --input " + argv[3]);

    const auto service = std::shared_ptr<Service>(new Service{{bytes, 8}, Pairings(2)});
    boost::asio::io_context context;
    const Listener listener(context, "127.0.0.1:0", service, false);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back([&] { context.run(); });
    std::ostringstream address;
    address << listener.address();

    const Case cases[] = {{1, MINIONN_TABLES_STREAMED, true},
                          {2, MINIONN_TABLES_STORED, false},
                          {8, MINIONN_TABLES_STORED, true}};
    std::vector<std::future<void>> clients;
    for (const auto &c : cases)
        clients.push_back(std::async(std::launch::async, [&, c] {
            check(address.str(), service->models.plan(), c, rows, expected);
        }));
    for (auto &client : clients) client.get();
    too_large_a_stock(address.str(), rows);
    no_client(context, listener.address());

    context.stop();
    for (auto &thread : threads) thread.join();
    std::cerr << failures << " failures\n";
    return failures == 0 ? 0 : 1;
} catch (const std::exception &error) {
    std::cerr << "FAILED: " << error.what() << '\n';
    return 1;
}
