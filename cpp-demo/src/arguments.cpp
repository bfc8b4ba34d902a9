#include "arguments.hpp"

#include <charconv>
#include <stdexcept>

Arguments::Arguments(int argc, char **argv, const std::set<std::string> &options,
                     const std::set<std::string> &flags) {
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (flags.count(word)) {
            values_[word];
        } else if (options.count(word)) {
            if (++i == argc) throw std::runtime_error(word + " needs a value");
            values_[word] = argv[i];
        } else if (word.rfind("--", 0) == 0 || !positional_.empty()) {
            throw std::runtime_error("unexpected: " + word);
        } else {
            positional_ = word;
        }
    }
}

std::string Arguments::get(const std::string &name, const std::string &otherwise) const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
}

std::uint32_t Arguments::number(const std::string &name, std::uint32_t otherwise) const {
    if (!has(name)) return otherwise;
    const std::string text = get(name, "");
    std::uint32_t value = 0;
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec != std::errc() || result.ptr != end)
        throw std::runtime_error(name + ": '" + text + "' is no number");
    return value;
}

std::pair<std::string, std::string> split_address(const std::string &address) {
    const auto colon = address.rfind(':');
    if (colon == std::string::npos) throw std::runtime_error("'" + address + "' is not HOST:PORT");
    std::string host = address.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    return {host, address.substr(colon + 1)};
}
