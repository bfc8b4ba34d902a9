/* Services of the debugger, or of QEMU: text out, arguments in, the end. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>

void host_print(const char *text);

/* Right-aligned in `width` columns. */
void host_print_number(uint64_t number, unsigned width);

/* The bytes of the argument that starts with `name`, as exactly 2·len hexadecimal digits. Returns 0 if it is there. */
int host_argument_bytes(const char *name, uint8_t *out, size_t len);

void host_exit(int code) __attribute__((noreturn));

#endif
