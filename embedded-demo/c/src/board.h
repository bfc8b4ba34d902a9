/* What the client needs of a board, beside a link. To run on another one, write these functions for
 * it; mps2.c is QEMU's. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* Ticks of board_clock() in a second. */
#define BOARD_CLOCK_HZ 25000000u

void board_init(void);

/* A clock that counts up and wraps. */
uint32_t board_clock(void);

/* A minionn_random: 32 bytes that nobody else knows and that were never used before. Returns 0 if
 * and only if it has them. */
int board_random(void *user, uint8_t *out, size_t len);

void abort(void) __attribute__((noreturn));

#endif
