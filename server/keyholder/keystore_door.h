/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's second door: keys that live. One operation a call, plain data in and out, as in
 * keyholder.h. Behind it is the keystore, a directory with one sealed file a key, which nothing but
 * the keyholder opens. The front decides when keys are made, sign and end; the keyholder keeps what
 * was decided, sealed together with the key, and knows the front's words for nothing else.
 */
#ifndef SG_KEYSTORE_DOOR_H
#define SG_KEYSTORE_DOOR_H

#include "server/keyholder/keyholder.h"

#define SG_KEYSTORE_MAX_PUBLIC  1280u /* SPKI of RSA 8192 */
#define SG_KEYSTORE_MAX_PATH    1024u
#define SG_KEYSTORE_MAX_MESSAGE 2048u
#define SG_KEYSTORE_MAX_SEALED  2048u /* a new key-encryption key or passphrase, sealed */

enum sg_key_flag {
    SG_KEY_FLAG_IMPORTED = 1u,   /* came from outside; else it was made here */
    SG_KEY_FLAG_VERIFY_ONLY = 2u /* never signs: tokens of a time before Signet */
};

/* What is kept of a key besides its private part, and authenticated together with it. Times are
 * seconds since 1970. A key's state follows from these times, from those of the other keys of its
 * keyset, and from the clock; it is not kept. */
struct sg_key_record {
    char keyset[SG_MAX_KEYSET_NAME_LEN + 1];
    char kid[SG_MAX_KID_LEN + 1];
    uint32_t alg;         /* enum sg_alg */
    uint32_t flags;       /* enum sg_key_flag */
    uint32_t seq;         /* from 1, in the order in which the keys of a keyset were made */
    uint32_t max_ttl_s;   /* no token that it signed lives longer */
    int64_t created_at;   /* when it was made or imported, and published */
    int64_t sign_from;    /* signs from here until the next key of its keyset does */
    int64_t verify_until; /* VERIFY_ONLY keys: accepted until then; 0: no end. Else 0 */
    int64_t revoked_at;   /* 0: it is not revoked */
    uint32_t public_len;  /* 0 for a secret */
    uint8_t public_key[SG_KEYSTORE_MAX_PUBLIC]; /* SPKI DER */
};

enum sg_keystore_op {
    /* dir, source, passphrase_fd, front_uid -> num_entries. Opens the keystore, takes its lock, opens every file
     * in it. FAILED_PRECONDITION, with what would mend it: there is no keystore, an unsafe owner or
     * mode (the exact chmod or chown), another process has it, the key-encryption key is not its
     * own. A file that cannot be used is an entry with a fault, not a failure. Once. */
    SG_KEYSTORE_OPEN = 1,
    /* index -> entry. In the order of keyset and seq. */
    SG_KEYSTORE_READ,
    /* record.keyset, record.kid -> slot. Brings the private part into memory; a second LOAD is another
     * slot. FAILED_PRECONDITION if the key was revoked, or its file is not what it was. */
    SG_KEYSTORE_LOAD,
    /* slot, record (without seq) -> entry.record with its seq. The file is there, synced, when this
     * returns SIGNET_OK; otherwise it is not there. ALREADY_EXISTS if a key of the keyset has this kid;
     * RESOURCE_EXHAUSTED for a full disk; INVALID_ARGUMENT if the record is not of the key in the slot;
     * FAILED_PRECONDITION if that key was stored under another name. */
    SG_KEYSTORE_ADD,
    /* record -> nothing. Replaces sign_from, verify_until, revoked_at and max_ttl_s of the key with
     * record.keyset and record.kid, atomically and durably; whatever else is in record is not looked at.
     * FAILED_PRECONDITION for other words about a revocation that there is. The slots of a revoked key
     * sign and check no more from the return on. */
    SG_KEYSTORE_UPDATE,
    /* new_key_kind, sealed, new_source -> nothing. Begins a change of the key-encryption key: from the
     * return on, and after a crash at any point of it, both the old and the new open the keystore,
     * and every file is sealed anew. Again while one is under way, with the old in use: another new one
     * takes the place of the new one. FAILED_PRECONDITION, with what mends it: a file that cannot be read
     * would be left behind, or the new one of a change is in use. */
    SG_KEYSTORE_REKEY,
    /* Ends it: from here on only the new one opens the keystore. FAILED_PRECONDITION as long as the source
     * that OPEN was given does not give the new one: that would lock the next start out. */
    SG_KEYSTORE_REKEY_FINISH,
    /* -> num_entries, is_rekeying, source, dir. */
    SG_KEYSTORE_INFO
};

/* What a key-encryption key is made from. */
enum sg_keystore_key_kind {
    SG_KEYSTORE_KEY_RAW = 1,   /* 32 bytes, from file: or credential: */
    SG_KEYSTORE_KEY_PASSPHRASE /* scrypt (RFC 7914) */
};

struct sg_keystore_request {
    uint64_t slot;
    uint32_t op;
    uint32_t index;
    uint32_t new_key_kind;
    int32_t passphrase_fd; /* for passphrase: sources; -1: ask on the terminal */
    uint32_t
        front_uid; /* who besides root and the process itself may own dir; UINT32_MAX: nobody */
    uint32_t sealed_len;
    char dir[SG_KEYSTORE_MAX_PATH];         /* the state directory; the keystore is DIR/keys */
    char source[SG_KEYSTORE_MAX_PATH];      /* file:PATH, credential:NAME or passphrase: */
    char new_source[SG_KEYSTORE_MAX_PATH];  /* likewise */
    uint8_t sealed[SG_KEYSTORE_MAX_SEALED]; /* to the key of SG_KEYHOLDER_SEALING_KEY */
    struct sg_key_record record;
};

/* What is wrong with a file of the keystore. Zero is not among them. */
enum sg_keystore_fault {
    SG_KEYSTORE_FAULT_NONE = 1, /* record is good */
    SG_KEYSTORE_FAULT_DAMAGED,  /* cut, changed, unreadable, or under another key-encryption key */
    SG_KEYSTORE_FAULT_FUTURE    /* of a format that this version does not know */
};

struct sg_keystore_entry {
    uint32_t fault;                         /* enum sg_keystore_fault */
    char file[SG_MAX_KEYSET_NAME_LEN + 32]; /* its name in the directory: KEYSET.SEQ.key */
    /* With a fault: keyset and seq are from the file's name, and the rest, if has_hint, is what the
     * file says without proof: only ever a reason to be more careful, never to trust it. */
    bool has_hint;
    struct sg_key_record record;
    char message[SG_KEYSTORE_MAX_MESSAGE]; /* with a fault: what is wrong and what would mend it */
};

struct sg_keystore_reply {
    uint64_t slot;
    uint32_t status; /* signet_status */
    uint32_t num_entries;
    uint32_t is_rekeying; /* both an old and a new key-encryption key open it */
    char dir[SG_KEYSTORE_MAX_PATH];
    char source[SG_KEYSTORE_MAX_PATH];
    struct sg_keystore_entry entry;
    char message[SG_KEYSTORE_MAX_MESSAGE]; /* why not; empty on success */
};

/* sg_keyholder_keystore does one operation and fills *reply. Returns other than SIGNET_OK only if the
 * crossing itself failed; then *reply is not to be read. Any thread; operations go one after the other.
 * Blocks for the time of the disk, and OPEN and REKEY for that of every file. */
signet_status sg_keyholder_keystore(struct sg_keyholder *keyholder,
                                    const struct sg_keystore_request *request,
                                    struct sg_keystore_reply *reply) SIGNET_MUST_CHECK;

#endif
