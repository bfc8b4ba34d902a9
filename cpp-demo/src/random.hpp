#pragma once

#include <minionn.hpp>

/// The operating system's random source.
minionn::Random system_random();
