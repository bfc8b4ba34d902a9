#include "random.hpp"

#include <sys/random.h>
#include <unistd.h>

extern "C" {
static int fill(void *, std::uint8_t *out, std::size_t len) {
    return getentropy(out, len);
}
}

minionn::Random system_random() {
    return {fill, nullptr};
}
