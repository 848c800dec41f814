/* SPDX-License-Identifier: Apache-2.0
 *
 * A front of one's own: starts the real signet-keyholder on a socketpair and says to it whatever a test
 * likes, in whole packets, well or badly. Every wait has a bound, and a passed bound fails the test, but
 * where it is said; what fails outside of a test's first thread must be looked at by the caller.
 */
#ifndef SG_TEST_KEYHOLDER_PEER_H
#define SG_TEST_KEYHOLDER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/keyholder/packet.h"

#define KEYHOLDER_PEER_MAX_CHANNELS 8u
/* Room for any answer, and for packets that are larger than they may be. */
#define KEYHOLDER_PEER_MAX_PACKET 393216u

struct keyholder_peer {
    pid_t pid;   /* 0 when it was collected */
    int control; /* -1 when closed, as the channels */
    int channels[KEYHOLDER_PEER_MAX_CHANNELS];
    int theirs[KEYHOLDER_PEER_MAX_CHANNELS]; /* their ends, until they were sent */
    uint32_t num_channels;
    char dir[96]; /* temporary, removed by keyholder_peer_stop */
    char log_path[120];
    struct sg_packet_welcome welcome;
};

/* keyholder_peer_spawn starts the process, which then waits for a hello, and makes the channels. */
void keyholder_peer_spawn(struct keyholder_peer *peer, uint32_t num_channels);
/* keyholder_peer_spawn_on starts it with a descriptor of the caller's as its control socket; -1: with none. */
void keyholder_peer_spawn_on(struct keyholder_peer *peer, int fd);
/* keyholder_peer_hello is a good hello for its channels. dir NULL: without a keystore. */
void keyholder_peer_hello(const struct keyholder_peer *peer, const char *dir, const char *source,
                          struct sg_packet_hello *out);
/* keyholder_peer_greet sends a good hello and expects to be welcome. */
void keyholder_peer_greet(struct keyholder_peer *peer, const char *dir, const char *source);
/* keyholder_peer_start does all of it. */
void keyholder_peer_start(struct keyholder_peer *peer, uint32_t num_channels, const char *dir,
                          const char *source);

/* keyholder_peer_wait waits for the process to end and returns its wait status; keyholder_peer_stop closes
 * everything first, expects the end, and clears up. */
int keyholder_peer_wait(struct keyholder_peer *peer);
bool keyholder_peer_is_alive(const struct keyholder_peer *peer);
void keyholder_peer_stop(struct keyholder_peer *peer);
/* What it wrote to its standard error; free() it. */
char *keyholder_peer_log(const struct keyholder_peer *peer);
/* How many descriptors it has open; 0 if the kernel does not say. */
size_t keyholder_peer_num_fds(const struct keyholder_peer *peer);

/* ---- Packets; any thread ---- */

/* keyholder_peer_send sends one packet with num_fds descriptors. False if the other side is gone, or takes
 * nothing for a long time. */
bool keyholder_peer_send(int fd, const void *packet, size_t len, const int *fds, size_t num_fds);

/* keyholder_peer_receive waits for one packet and returns its length; 0: the other side has closed; -1: the
 * bound has passed. */
ssize_t keyholder_peer_receive(int fd, void *packet, size_t cap);

/* keyholder_peer_pack writes a packet of operations, and returns its length. */
size_t keyholder_peer_pack(const struct sg_keyholder_request *requests, size_t num,
                           const void *bytes, size_t bytes_len, uint8_t *packet);
size_t keyholder_peer_pack_keystore(const struct sg_keystore_request *request, uint8_t *packet);

/* keyholder_peer_is_refusal says whether a packet answers something that was none. */
bool keyholder_peer_is_refusal(const uint8_t *packet, size_t len);
/* keyholder_peer_read and keyholder_peer_read_keystore take an answer apart. False: it is not a good one. */
bool keyholder_peer_read(const uint8_t *packet, size_t len, size_t num,
                         struct sg_keyholder_reply *replies);
bool keyholder_peer_read_keystore(const uint8_t *packet, size_t len,
                                  struct sg_keystore_reply *reply);

/* keyholder_peer_call and keyholder_peer_keystore send a good packet and take its answer apart. False: there
 * was none, or not a good one. */
bool keyholder_peer_call(int channel, const struct sg_keyholder_request *requests, size_t num,
                         const void *bytes, size_t bytes_len, struct sg_keyholder_reply *replies);
bool keyholder_peer_keystore(int channel, const struct sg_keystore_request *request,
                             struct sg_keystore_reply *reply);

#endif
