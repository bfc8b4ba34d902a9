// minionn-client: predicts over TCP.

#include "arguments.hpp"
#include "predict.hpp"

#include <fstream>
#include <iostream>
#include <iterator>

namespace {

constexpr const char *HELP = "Usage: minionn-client ADDR:PORT --input X.npy [--plan FILE] [--stock K] [--tables stored|streamed]\n"
                             "                      [--activation gc|ot] [--pairing FILE]\n\n"
                             "Predicts every row and prints JSON: predictions, and what each phase took.\n"
                             "Without --plan, the server is asked for its plan.\n"
                             "--activation: by garbled circuits, or by comparison with OTs where that saves bytes; the same result.\n"
                             "--pairing keeps what set-up makes in a file, so that it is done once. The file is secret.\n";

minionn::Options options(const Arguments &arguments) {
    minionn::Options options;
    options.stock = arguments.number("--stock", 1);
    const auto tables = arguments.get("--tables", "stored");
    if (tables != "stored" && tables != "streamed") throw std::runtime_error("--tables: stored or streamed");
    options.tables = tables == "stored" ? MINIONN_TABLES_STORED : MINIONN_TABLES_STREAMED;
    const auto activation = arguments.get("--activation", "gc");
    if (activation != "gc" && activation != "ot") throw std::runtime_error("--activation: gc or ot");
    options.activations = activation == "gc" ? MINIONN_ACTIVATIONS_GARBLED : MINIONN_ACTIVATIONS_COMPARED;
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
        const Arguments arguments(argc, argv, {"--input", "--plan", "--stock", "--tables", "--activation", "--pairing"}, {"--help"});
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
