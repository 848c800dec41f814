/* SPDX-License-Identifier: Apache-2.0
 *
 * What crosses between the daemon and the keyholder's process: packets of a SOCK_SEQPACKET pair, each a
 * head, an array of fixed-size structs, and bytes. Both sides run on one machine and are of one build,
 * so numbers are the machine's own. All parsing of either side is here: a packet is taken as a whole or
 * refused, and nothing in it is believed.
 *
 *   channel, to the keyholder    OPERATIONS: sg_keyholder_request[num], bytes
 *                                KEYSTORE:   one sg_keystore_request
 *   channel, back                OPERATIONS: sg_packet_reply[num], bytes (data and message of each)
 *                                KEYSTORE:   one sg_keystore_reply
 *   first, on the control socket sg_packet_hello with the descriptors of the channels, and back
 *                                sg_packet_welcome
 */
#ifndef SG_KEYHOLDER_PACKET_H
#define SG_KEYHOLDER_PACKET_H

#include "server/keyholder/keystore_door.h"

#define SG_PACKET_VERSION 2u
#define SG_PACKET_MAX     98304u
/* Of one packet: the answers to as many operations always have room in one. */
#define SG_PACKET_MAX_OPERATIONS 64u
/* Bytes that the operations of one packet may share; one token has room. */
#define SG_PACKET_MAX_BYTES 32768u

enum sg_packet_kind {
    SG_PACKET_OPERATIONS = 0x5347004f,
    SG_PACKET_KEYSTORE = 0x5347004b,
    SG_PACKET_REFUSED =
        0x53470052 /* the answer to what is not a packet: a head, num and bytes_len 0 */
};

struct sg_packet_head {
    uint32_t kind;      /* enum sg_packet_kind */
    uint32_t num;       /* OPERATIONS: 1 to SG_PACKET_MAX_OPERATIONS; KEYSTORE: 1 */
    uint32_t bytes_len; /* after the structs; KEYSTORE: 0 */
    uint32_t unused;    /* 0 */
};

struct sg_packet_reply {
    uint64_t slot;
    uint32_t status;
    uint32_t verdict;
    uint32_t data_len;    /* at most SG_KEYHOLDER_MAX_DATA */
    uint32_t message_len; /* less than the message's place */
};

/* How a keyholder's process begins: the daemon's first and only packet on the control socket. */
struct sg_packet_hello {
    char magic[8]; /* SG_PACKET_HELLO */
    uint32_t version;
    uint32_t epoch;             /* of its slots */
    uint32_t num_channels;      /* 1 to SG_PACKET_MAX_CHANNELS: as many descriptors come with it */
    uint32_t num_slow_channels; /* the last of these, all but one at most: for what takes long */
    uint32_t has_passphrase_fd; /* 1: one more descriptor, the last, to read a passphrase from */
    uint32_t front_uid;         /* the daemon's; may own the state directory */
    uint32_t has_keystore;      /* 0: keys end with the process, and dir and source are empty */
    char dir[SG_KEYSTORE_MAX_PATH]; /* what OPEN will be asked for, and nothing else */
    char source[SG_KEYSTORE_MAX_PATH];
};
#define SG_PACKET_HELLO        "SIGNETKH"
#define SG_PACKET_MAX_CHANNELS 128u

struct sg_packet_welcome {
    char magic[8]; /* SG_PACKET_HELLO */
    uint32_t version;
    uint32_t
        status; /* signet_status; other than SIGNET_OK: message says why, and the process ends */
    uint32_t protections; /* enum sg_protection, OWN_USER left to the daemon */
    uint32_t uid;
    int32_t pid;
    char message[SG_KEYSTORE_MAX_MESSAGE];
};

/* sg_packet_can_carry says whether each of the operations, on its own, fits a packet. */
bool sg_packet_can_carry(const struct sg_keyholder_request *requests, size_t num, size_t bytes_len);

/* A packet of operations in the making. */
struct sg_packet_writer {
    uint8_t *packet; /* SG_PACKET_MAX */
    size_t num, bytes_len;
    const uint8_t *last_data; /* of the operation added last: the next may share it */
    uint32_t last_off, last_len;
};

void sg_packet_begin(struct sg_packet_writer *writer, uint8_t *packet);
/* sg_packet_add adds an operation and its part of bytes. False if the packet is full. */
bool sg_packet_add(struct sg_packet_writer *writer, const struct sg_keyholder_request *request,
                   const uint8_t *bytes);
/* sg_packet_end returns the packet's length. */
size_t sg_packet_end(struct sg_packet_writer *writer);

/* sg_packet_read_hello says whether len bytes are a hello that may be followed. */
bool sg_packet_read_hello(const uint8_t *packet, size_t len, struct sg_packet_hello *out);

/* A request packet taken apart. Points into the packet, which has to be aligned for uint64_t. */
struct sg_packet_request {
    enum sg_packet_kind kind;
    const struct sg_keyholder_request *operations; /* OPERATIONS */
    size_t num;
    const uint8_t *bytes;
    size_t bytes_len;
    const struct sg_keystore_request *keystore; /* KEYSTORE */
};

/* sg_packet_read_request takes a packet apart. False if its lengths do not agree with each other and with
 * the limits; what the structs say is not looked at. */
bool sg_packet_read_request(const uint8_t *packet, size_t len, struct sg_packet_request *out);

/* sg_packet_write_replies writes the answer to num operations, 1 to SG_PACKET_MAX_OPERATIONS, into a packet of
 * SG_PACKET_MAX bytes, and returns its length. */
size_t sg_packet_write_replies(const struct sg_keyholder_reply *replies, size_t num,
                               uint8_t *packet);

/* sg_packet_read_replies takes the answer to num operations apart, one into each *replies[i], of which what
 * lies beyond data_len is left as it is. False if it is not one; replies hold nothing of use then. */
bool sg_packet_read_replies(const uint8_t *packet, size_t len, size_t num,
                            struct sg_keyholder_reply *const *replies);

/* sg_packet_read_keystore_reply: likewise for the keystore. Every text in *out ends in it. */
bool sg_packet_read_keystore_reply(const uint8_t *packet, size_t len,
                                   struct sg_keystore_reply *out);

/* sg_packet_read_welcome: likewise for the first answer. */
bool sg_packet_read_welcome(const uint8_t *packet, size_t len, struct sg_packet_welcome *out);

#endif
