/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer that speaks the framing byte by byte, well or badly, without libsignet: for tests of what the
 * daemon does with bytes. Every wait has a bound; a passed bound fails the test.
 */
#ifndef SG_TEST_SP_CLIENT_H
#define SG_TEST_SP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* sp_client_connect returns a connected descriptor that has sent and received nothing. */
int sp_client_connect(const char *path);

/* sp_client_open connects and exchanges greetings. */
int sp_client_open(const char *path);

/* sp_client_write sends all bytes; false if the other side does not take them. */
bool sp_client_write(int fd, const void *bytes, size_t len);

/* sp_client_send sends one message. False as sp_client_write. */
bool sp_client_send(int fd, uint32_t request_id, const void *body, size_t len);

/* sp_client_receive waits for one message and returns its body (free() it). NULL if the connection
 * ends instead. */
uint8_t *sp_client_receive(int fd, uint32_t *request_id, size_t *len);

/* sp_client_wait_closed discards what comes until the other side closes. */
void sp_client_wait_closed(int fd);

/* sp_client_health writes the envelope of a call of HealthService/Check and returns its length. */
size_t sp_client_health(uint8_t *out, size_t cap);

/* sp_client_check_health connects, calls HealthService/Check and expects a payload in answer. */
void sp_client_check_health(const char *path);

#endif
