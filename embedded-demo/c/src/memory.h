/* What the firmware uses of flash and RAM. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* Paints the stack below the caller. */
void stack_paint(void);

/* Most bytes of stack in use since it was painted. */
size_t stack_used(void);

size_t stack_size(void);

/* Bytes of variables, the stack not among them. */
size_t static_size(void);

/* Bytes of code, constants and initial values. */
size_t flash_size(void);

#endif
