/* What libminionn_ethernet.a has beside minionn.h. */
#ifndef ETHERNET_H
#define ETHERNET_H

#include <stddef.h>
#include <stdint.h>

typedef struct ethernet_connection ethernet_connection;

/* Starts the network and connects to a port of the host. `seed` varies ports and sequence numbers.
 * NULL if there is no controller or no peer, and on a second call. */
ethernet_connection *ethernet_open(uint16_t port, uint64_t seed);

/* Takes what has come, at most `capacity` bytes; never waits. */
size_t ethernet_read(ethernet_connection *connection, uint8_t *to, size_t capacity);

/* Sends all of it, waiting for room. Returns how much was taken: less than all only if the
 * connection is gone. */
size_t ethernet_write(ethernet_connection *connection, const uint8_t *from, size_t len);

/* Closes once everything has arrived. */
void ethernet_close(ethernet_connection *connection);

#endif
