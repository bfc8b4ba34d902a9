#pragma once

#include <string>
#include <vector>

/// Rows of real numbers; a one-dimensional array is one row.
using Rows = std::vector<std::vector<float>>;

/// Reads a .npy file of little-endian float32 in C order. Throws std::runtime_error.
Rows read_npy(const std::string &path);
