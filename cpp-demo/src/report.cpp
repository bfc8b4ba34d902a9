#include "report.hpp"

#include <charconv>

namespace {

/// The shortest text that reads back as the same number; a whole one keeps its point.
std::string number(double x) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, x).ptr;
    std::string out(text, end);
    if (out.find_first_of(".en") == std::string::npos) out += ".0";
    return out;
}

std::string to_json(const minionn::Answer &answer, bool argmax_only) {
    std::string logits;
    for (double x : answer.logits) logits += (logits.empty() ? "" : ",") + number(x);
    return "{\"logits\":" + (argmax_only ? "null" : "[" + logits + "]") +
           ",\"argmax\":" + std::to_string(answer.argmax) + "}";
}

std::string to_json(const Phase &phase) {
    return "{\"seconds\":" + number(phase.seconds) +
           ",\"bytes_sent\":" + std::to_string(phase.bytes_sent) +
           ",\"bytes_received\":" + std::to_string(phase.bytes_received) +
           ",\"rounds\":" + std::to_string(phase.rounds) + "}";
}

} // namespace

std::string to_json(const Report &report) {
    std::string predictions;
    for (const auto &answer : report.predictions)
        predictions += (predictions.empty() ? "" : ",") + to_json(answer, report.argmax_only);
    return "{\"predictions\":[" + predictions + "],\"setup\":" + to_json(report.setup) +
           ",\"offline\":" + to_json(report.offline) + ",\"online\":" + to_json(report.online) +
           "}";
}
