/* QEMU's mps2-an386: the clock is timer 0 of Arm's CMSDK. */
#include "board.h"
#include "register.h"
#include "semihosting.h"

#define TIMER_CTRL REGISTER(0x40000000u)
#define TIMER_VALUE REGISTER(0x40000004u)
#define TIMER_RELOAD REGISTER(0x40000008u)
#define TIMER_ENABLE 1u

void board_init(void) {
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CTRL = TIMER_ENABLE;
}

uint32_t board_clock(void) {
    return UINT32_MAX - TIMER_VALUE; /* it counts down */
}

/* QEMU has no source of randomness, so whoever starts it draws a seed, fresh for every run, and
 * hands it in as the argument seed=<64 hexadecimal digits>. A board asks its hardware generator
 * instead. Never a constant: a seed used twice gives inputs away. */
int board_random(void *user, uint8_t *out, size_t len) {
    static int spent;
    (void)user;
    if (spent) return -1;
    spent = 1;
    host_print(
        "WARNING: QEMU has no source of randomness, the seed is the host's: good for tests only\n");
    return host_argument_bytes("seed=", out, len);
}
