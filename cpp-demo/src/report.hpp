#pragma once

#include <minionn.hpp>

#include <string>
#include <vector>

/// Time and traffic of a phase, as the client sees it.
struct Phase {
    double seconds = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint32_t rounds = 0;
};

/// What a client got, and what it cost.
struct Report {
    bool argmax_only = false;
    std::vector<minionn::Answer> predictions;
    Phase setup, offline, online;
};

/// In the same form as the command `minionn predict --json`.
std::string to_json(const Report &report);
