#pragma once

#include "npy.hpp"
#include "report.hpp"

#include <optional>
#include <string>

/// Connects to HOST:PORT and predicts every row, a stock at a time. Without a plan, the server is
/// asked for its own. `pairing` is a file for what set-up makes: read if it is there, written if
/// not. It is secret. Throws minionn::Error, boost::system::system_error, std::runtime_error.
Report predict(const std::string &address, std::optional<minionn::Plan> plan,
               const minionn::Options &options, const Rows &rows, const std::string &pairing = {});
