// minionn-client: predicts over TCP.

#include "arguments.hpp"
#include "predict.hpp"

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace {

constexpr const char *HELP = "Usage: minionn-client ADDR:PORT --input X.npy [--plan FILE] [--stock K] [--tables stored|streamed]\n"
                             "                      [--activation gc|ot|auto] [--link lan|wan|uart|ble] [--pairing FILE]\n\n"
                             "Predicts every row and prints JSON: predictions, and what each phase took.\n"
                             "Without --plan, the server is asked for its plan.\n"
                             "--activation: by garbled circuits, by comparison with OTs where that saves bytes, or (the default) layer by layer whichever is\n"
                             "faster on the --link, lan unless named; the same result.\n"
                             "--pairing keeps what set-up makes in a file, so that it is done once. The file is secret.\n";

std::uint8_t activations(const std::string &how, const std::string &link) {
    if (how == "gc") return MINIONN_ACTIVATIONS_GARBLED;
    if (how == "ot") return MINIONN_ACTIVATIONS_COMPARED;
    if (how != "auto") throw std::runtime_error("--activation: gc, ot or auto");
    if (link == "lan") return MINIONN_ACTIVATIONS_LAN;
    if (link == "wan") return MINIONN_ACTIVATIONS_WAN;
    if (link == "uart") return MINIONN_ACTIVATIONS_UART;
    if (link == "ble") return MINIONN_ACTIVATIONS_BLE;
    throw std::runtime_error("--link: lan, wan, uart or ble");
}

minionn::Options options(const Arguments &arguments) {
    minionn::Options options;
    options.stock = arguments.number("--stock", 1);
    const auto tables = arguments.get("--tables", "stored");
    if (tables != "stored" && tables != "streamed") throw std::runtime_error("--tables: stored or streamed");
    options.tables = tables == "stored" ? MINIONN_TABLES_STORED : MINIONN_TABLES_STREAMED;
    options.activations = activations(arguments.get("--activation", "auto"), arguments.get("--link", "lan"));
    return options;
}

std::optional<minionn::Plan> plan(const Arguments &arguments) {
    if (!arguments.has("--plan")) return std::nullopt;
    const auto path = arguments.get("--plan", "");
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot be read");
    return minionn::Plan(minionn::Bytes(std::istreambuf_iterator<char>(in), {}));
}

} // namespace

int main(int argc, char **argv) {
    try {
        const Arguments arguments(argc, argv, {"--input", "--plan", "--stock", "--tables", "--activation", "--link", "--pairing"}, {"--help"});
        if (arguments.has("--help") || arguments.positional().empty() || !arguments.has("--input")) {
            std::cerr << HELP;
            return arguments.has("--help") ? 0 : 2;
        }
        const auto rows = read_npy(arguments.get("--input", ""));
        const auto pairing = arguments.get("--pairing", "");
        std::cout << to_json(predict(arguments.positional(), plan(arguments), options(arguments), rows, pairing)) << '\n';
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "minionn-client: " << error.what() << '\n';
        return 1;
    }
}
