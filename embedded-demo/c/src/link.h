/* The way to the server and back. serial_mps2.c: a line, always open. ethernet_mps2.c: TCP. */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0 if the server can be talked to. */
int link_open(void);

/* Takes what has come, at most `capacity` bytes. Returns how many; never waits. */
size_t link_read(uint8_t *to, size_t capacity);

/* Hands over bytes. Returns how many of `len` were taken: the link may be busy, or gone. */
size_t link_write(const uint8_t *from, size_t len);

void link_close(void);

#endif
