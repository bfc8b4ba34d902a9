/* Services of the debugger, or of QEMU: text out, arguments in, the end. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stddef.h>
#include <stdint.h>

void host_print(const char *text);

void host_print_number(uint64_t number);

/* What the firmware was started with, words like `windows=3`: the decimal number, or the
 * hexadecimal digits of exactly `len` bytes, in the word that begins with `name`. Returns 0 if
 * there is one. */
int host_argument_number(const char *name, uint32_t *number);
int host_argument_bytes(const char *name, uint8_t *out, size_t len);

void host_exit(int code) __attribute__((noreturn));

#endif
