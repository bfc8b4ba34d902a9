// minionn-client: predicts over TCP.

#include "arguments.hpp"
#include "predict.hpp"

#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>

namespace {

constexpr const char *HELP =
    R"(Usage: minionn-client ADDR:PORT --input X.npy [--plan FILE] [--stock K]
                      [--tables stored|streamed] [--activation gc|ot|auto]
                      [--link lan|wan|uart|ble] [--pairing FILE]

Predicts every row and prints JSON: predictions, and what each phase took.
Without --plan, the server is asked for its plan.
--activation: by garbled circuits, by comparison with OTs where that saves bytes, or (the default)
layer by layer whichever is faster on the --link, lan unless named; the same result.
--pairing keeps what set-up makes in a file, so that it is done once. The file is secret.
)";

void set_activations(minionn::Options &options, const std::string &how, const std::string &link) {
    const std::map<std::string, minionn_link> links = {{"lan", MINIONN_LINK_LAN},
                                                       {"wan", MINIONN_LINK_WAN},
                                                       {"uart", MINIONN_LINK_UART},
                                                       {"ble", MINIONN_LINK_BLE}};
    const auto named = links.find(link);
    if (named == links.end()) throw std::runtime_error("--link: lan, wan, uart or ble");
    options.set_link(named->second);
    if (how == "auto") return;
    if (how != "gc" && how != "ot") throw std::runtime_error("--activation: gc, ot or auto");
    options.activations = how == "gc" ? MINIONN_ACTIVATIONS_GARBLED : MINIONN_ACTIVATIONS_COMPARED;
}

minionn::Options options(const Arguments &arguments) {
    minionn::Options options;
    options.stock = arguments.number("--stock", 1);
    const auto tables = arguments.get("--tables", "stored");
    if (tables != "stored" && tables != "streamed")
        throw std::runtime_error("--tables: stored or streamed");
    options.tables = tables == "stored" ? MINIONN_TABLES_STORED : MINIONN_TABLES_STREAMED;
    set_activations(options, arguments.get("--activation", "auto"), arguments.get("--link", "lan"));
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
        const Arguments arguments(
            argc, argv,
            {"--input", "--plan", "--stock", "--tables", "--activation", "--link", "--pairing"},
            {"--help"});
        if (arguments.has("--help") || arguments.positional().empty() ||
            !arguments.has("--input")) {
            std::cerr << HELP;
            return arguments.has("--help") ? 0 : 2;
        }
        const auto rows = read_npy(arguments.get("--input", ""));
        const auto pairing = arguments.get("--pairing", "");
        std::cout << to_json(predict(arguments.positional(), plan(arguments), options(arguments),
                                     rows, pairing))
                  << '\n';
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "minionn-client: " << error.what() << '\n';
        return 1;
    }
}
