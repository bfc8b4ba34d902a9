#include "npy.hpp"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

constexpr std::size_t MAX_ELEMENTS = std::size_t{1} << 28;

/// The value of `key` in the header, a Python dictionary: up to `end`.
std::string value(const std::string &header, const std::string &key, char end) {
    const auto at = header.find("'" + key + "':");
    const auto stop = at == std::string::npos ? at : header.find(end, at + key.size() + 3);
    if (stop == std::string::npos) throw std::runtime_error("npy: no '" + key + "'");
    return header.substr(at + key.size() + 3, stop - at - key.size() - 3);
}

/// The numbers in "(360, 64)".
std::vector<std::size_t> dimensions(const std::string &text) {
    std::vector<std::size_t> out;
    std::size_t number = 0;
    bool open = false;
    for (char c : text + ",") {
        if (c >= '0' && c <= '9') {
            number = number * 10 + static_cast<std::size_t>(c - '0');
            open = true;
            if (number > MAX_ELEMENTS) throw std::runtime_error("npy: too large");
        } else if (open && c == ',') {
            out.push_back(number);
            number = 0;
            open = false;
        }
    }
    return out;
}

float little_endian(const char *bytes) {
    std::uint32_t bits = 0;
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

} // namespace

Rows read_npy(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    if (!in && file.empty()) throw std::runtime_error(path + ": cannot be read");
    if (file.size() < 12 || file.compare(0, 6, "\x93NUMPY") != 0)
        throw std::runtime_error(path + ": no npy file");
    const auto byte = [&](std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>(file[i]));
    };
    const bool one = file[6] == 1; // version 1 has a shorter length field
    const std::size_t begin = one ? 10 : 12;
    const std::size_t length = byte(8) | byte(9) << 8 | (one ? 0 : byte(10) << 16 | byte(11) << 24);
    if (length > file.size() - begin) throw std::runtime_error(path + ": truncated");
    const std::string header = file.substr(begin, length);
    if (value(header, "descr", ',').find("<f4") == std::string::npos)
        throw std::runtime_error(path + ": float32 is needed");
    if (value(header, "fortran_order", ',').find("False") == std::string::npos)
        throw std::runtime_error(path + ": C order is needed");

    const auto shape = dimensions(value(header, "shape", ')'));
    const std::size_t rows = shape.size() > 1 ? shape[0] : 1;
    std::size_t columns = 1;
    for (std::size_t i = shape.size() > 1 ? 1 : 0; i < shape.size(); ++i) {
        columns *= shape[i];
        if (columns > MAX_ELEMENTS) throw std::runtime_error(path + ": too large");
    }
    if ((file.size() - begin - length) / sizeof(float) < rows * columns)
        throw std::runtime_error(path + ": truncated");
    Rows out(rows, std::vector<float>(columns));
    const char *at = file.data() + begin + length;
    for (auto &row : out)
        for (auto &x : row) {
            x = little_endian(at);
            at += sizeof(float);
        }
    return out;
}
