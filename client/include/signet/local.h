/* SPDX-License-Identifier: Apache-2.0
 *
 * libsignet-local: verification in the caller's own process. After signet_local_attach a client checks tokens that were
 * signed with RS, PS, ES or EdDSA against the trust board, a file that signetd keeps with all public keys and all
 * revocations, and gives the answers that the daemon would give. It asks the daemon for the others: tokens under HMAC
 * keys, whose secrets only the keyholder has, and whenever the board cannot tell for sure, as with a key that it does not
 * know; and for all of them as long as there is no board that a living daemon keeps.
 *
 * What differs from asking the daemon:
 *   - The daemon's grants say who may ask it about which keysets. They cannot bind a process that checks with public
 *     keys, which signet_jwks hands to everybody.
 *   - Its audit and its figures know nothing of tokens that are checked here.
 *   - What is revoked is refused here as well from when the revocation was acknowledged.
 *
 * A child that was forked just while another thread read a key of the board for the first time asks the daemon for the
 * tokens of keys that it does not know yet.
 *
 * The conventions are those of signet/client.h. Needs OpenSSL and jansson besides libsignet, of the same version.
 */
#ifndef SIGNET_LOCAL_H
#define SIGNET_LOCAL_H

#include <signet/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Start with SIGNET_LOCAL_OPTIONS_INIT. */
struct signet_local_options {
    size_t size; /* set by the initializer; lets later versions add members */
    /* Path of the board, from the root; NULL: $SIGNET_BOARD, else "board" beside the daemon's socket, which is
     * /run/signet/board. It must belong to root or to whom the client takes for the daemon, and nobody else may
     * be able to write to it. */
    const char *board;
    /* Told with a line of text when the board cannot be used any more and the daemon is asked instead (there is none,
     * another version's, another user's, damaged, or no daemon keeps it), and when it can be again: once each time. Also
     * from within signet_local_attach. It is called by a thread that is in a call with the client, and must not use the
     * client. NULL: nobody is told. */
    void (*notice)(void *context, const char *message);
    void *context; /* for notice */
    /* For how long a board counts that the daemon did not touch, which it does every 500 ms or oftener: 100 to 60000 ms;
     * 0: 2000. */
    uint32_t max_age_ms;
    uint32_t reserved; /* must be 0 */
};
#define SIGNET_LOCAL_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(struct signet_local_options), NULL, NULL, NULL, 0, 0                                \
    }

/* signet_local_attach has signet_verify, signet_verify_bearer and signet_verify_many of this client check tokens in this
 * process from the next call on. options may be NULL. There need not be a board yet: it is looked for again, at most ten
 * times a second. It lasts until the client is freed; nothing else is to be released. No other call with the client may
 * be under way. In a program that runs with more rights than its caller (setuid) the environment is not read.
 *
 * INVALID_ARGUMENT: no client, or an option out of range. FAILED_PRECONDITION: it was called for this client before, or
 * libsignet is of another version. RESOURCE_EXHAUSTED: no memory. Does not block. */
SIGNET_API signet_status signet_local_attach(struct signet_client *client,
                                             const struct signet_local_options *options,
                                             struct signet_error *error) SIGNET_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
