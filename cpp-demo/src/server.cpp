// minionn-server: serves a model over TCP.

#include "arguments.hpp"
#include "serve.hpp"

#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>
#include <vector>

namespace {

constexpr const char *HELP =
    "Usage: minionn-server MODEL --listen ADDR:PORT [--once] [--max-stock N]\n\n"
    "Serves a model that `minionn compile` wrote, many clients at a time.\n"
    "Port 0 takes a free one; the first line printed is `listening on ADDR:PORT`.\n";

minionn::Bytes read(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot be read");
    return minionn::Bytes(std::istreambuf_iterator<char>(in), {});
}

} // namespace

int main(int argc, char **argv) {
    try {
        const Arguments arguments(argc, argv, {"--listen", "--max-stock"}, {"--once", "--help"});
        if (arguments.has("--help") || arguments.positional().empty()) {
            std::cerr << HELP;
            return arguments.has("--help") ? 0 : 2;
        }
        boost::asio::io_context context;
        const auto service = std::shared_ptr<Service>(new Service{
            {read(arguments.positional()), arguments.number("--max-stock", 256)}, Pairings(1024)});
        const Listener listener(context, arguments.get("--listen", "127.0.0.1:7650"), service,
                                arguments.has("--once"));
        std::cout << "listening on " << listener.address() << std::endl;

        // Every thread takes the next piece of work of any client.
        std::vector<std::thread> threads;
        for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i)
            threads.emplace_back([&] { context.run(); });
        context.run();
        for (auto &thread : threads) thread.join();
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "minionn-server: " << error.what() << '\n';
        return 1;
    }
}
