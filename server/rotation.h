/* SPDX-License-Identifier: Apache-2.0
 *
 * When keys sign and end: a key's state from times, and what a keyset needs next. Pure: numbers in,
 * numbers out, no clock, no key material. All times are seconds since 1970, and every one that a file or
 * a clock can give is fit: sums stop at the ends of what can be said.
 *
 * The keys of a keyset that may sign stand in the order of (sign_from, seq), revoked ones left out. A
 * key signs from its own sign_from until that of the next in this order. The first in the order has
 * signed since ever, so that a clock that was set back leaves no time in which nothing signs; the last
 * signs until there is a next, so that one that was set forward does not either. Nothing but the set
 * of keys decides, so that making the next key, one file, is a rotation, whole or not at all.
 */
#ifndef SG_ROTATION_H
#define SG_ROTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_TIME_NEVER INT64_MAX /* no end is known; has not come, whatever the clock says */
#define SG_TIME_EVER  INT64_MIN /* since ever */

/* A request that began while a key signed has ended by then: as long as any call may take. A key is
 * accepted, and published, at least for so long after it signed. */
#define SG_ROTATION_SETTLE_S 60

enum sg_key_state {
    SG_KEY_NEXT = 1,
    SG_KEY_ACTIVE,
    SG_KEY_VERIFY_ONLY,
    SG_KEY_RETIRED,
    SG_KEY_REVOKED
};

/* What is known of one key. */
struct sg_key_times {
    uint32_t seq;
    uint32_t max_ttl_s;
    bool never_signs; /* imported to verify only */
    int64_t created_at, sign_from;
    int64_t revoked_at;   /* 0: it is not revoked */
    int64_t verify_until; /* of one that never signs; 0: no end */
};

/* What follows for one key from those around it. Of two with one sign_from the lower seq has an empty
 * time: its signs_until is its sign_from, and it is kept for the overlap all the same.
 *
 *                 signs_from        signs_until              keep_until
 *   signs         its sign_from     sign_from of the next    signs_until and the overlap
 *   never signs   SG_TIME_NEVER     SG_TIME_NEVER            verify_until; 0 is SG_TIME_NEVER
 *   revoked       SG_TIME_NEVER     revoked_at               SG_TIME_EVER
 */
struct sg_key_span {
    int64_t signs_from; /* SG_TIME_EVER: the first in the order */
    /* The first second in which it signs no more; SG_TIME_NEVER: there is no next key yet. */
    int64_t signs_until;
    /* Accepted until then at least, not counting the tokens that it signed; the overlap counts as
     * SG_ROTATION_SETTLE_S if it is shorter. SG_TIME_NEVER while there is no end. */
    int64_t keep_until;
    bool revoked;
};

/* sg_rotation_spans fills spans[i] for keys[i]; num is 0 to 65536, in any order. O(n log n). False
 * only without memory. */
bool sg_rotation_spans(const struct sg_key_times *keys, size_t num, uint32_t overlap_s,
                       struct sg_key_span *spans) __attribute__((warn_unused_result));

/* sg_rotation_verify_until says until when tokens under the key may be accepted: keep_until, or when
 * the last token that it signed expires and SG_MAX_LEEWAY_S, which a verifier may grant, if that is
 * later. last_expiry 0: none; it does not count for a key that never signs. Revoked: since when not. */
int64_t sg_rotation_verify_until(const struct sg_key_span *span, int64_t last_expiry);

/* sg_rotation_accepted_until is the last second in which a token that expires then may be accepted: with the
 * largest leeway. SG_TIME_NEVER if it is beyond what can be said. */
int64_t sg_rotation_accepted_until(int64_t expires_at);

/* sg_rotation_state computes the state: REVOKED whatever the clock says, else NEXT before signs_from,
 * ACTIVE from then on, VERIFY_ONLY from signs_until on, RETIRED from sg_rotation_verify_until on. A key
 * that never signs is VERIFY_ONLY at first. */
enum sg_key_state sg_rotation_state(const struct sg_key_span *span, int64_t last_expiry,
                                    int64_t now);

/* sg_rotation_signer returns the index of the key that signs at now, of which there is never more than
 * one; num if there is none, which is only when no key may sign at all. */
size_t sg_rotation_signer(const struct sg_key_span *spans, size_t num, int64_t now);

/* sg_rotation_expiry_bound is the latest expiry of any token that a key can have signed before now, for
 * want of a record: the end of its signing, what may have been under way then (a request with the
 * snapshot of before), and its longest life. 0: it never signs.
 *
 * The end counts even if it is still to come, since the clock may have been ahead of now when the key
 * signed; a clock that is set back so far that the key signs before its time gives it earlier ends only.
 * While no end is known, now stands in its place. In either case no less than its own sign_from and
 * created_at, which clocks have shown. How far ahead a clock was that nothing was made under cannot be
 * known: a record that says more than the bound is right. */
int64_t sg_rotation_expiry_bound(const struct sg_key_times *key, const struct sg_key_span *span,
                                 int64_t now);

/* The policy of a keyset. */
struct sg_rotation_policy {
    uint32_t rotate_every_s; /* 0: on demand only */
    uint32_t publish_lead_s, overlap_s;
};

enum sg_rotation_step {
    SG_ROTATION_WAIT = 1, /* nothing to do before plan.at */
    SG_ROTATION_FIRST,    /* no key may sign: make one that does from now on */
    SG_ROTATION_PUBLISH,  /* make the next key; it signs from plan.sign_from */
    /* Give keys[plan.index] plan.sign_from, earlier than its own, which a clock that showed another time
     * gave it, or another policy. The order of the keys, and who signs now, stay as they are. */
    SG_ROTATION_REPLAN
};

struct sg_rotation_plan {
    enum sg_rotation_step step;
    int64_t sign_from;
    size_t index;
    int64_t at; /* WAIT: after now; look again then. SG_TIME_NEVER: nothing will be due */
};

/* sg_rotation_plan says what the keyset needs at now. wants_new asks for a new key whatever the calendar
 * says (the algorithm of the keyset was changed), and must cease once there is one. After the step was
 * done, ask again: there may be another, never more than three before a WAIT. Ask again too when the
 * clock was set back, or when a key or the policy was changed.
 *
 * A new key is due publish_lead before the one that signs has done so for rotate_every, and is always
 * published for the whole of publish_lead: if it was late, the old one signs on. No key is made while
 * another waits, and one however long nobody asked.
 *
 * Clocks are set back, and then times lie further ahead than they should:
 * - Of the key that signs now (then it is the first): it has signed since now. Its successors count
 *   from there, and one that is made does not come before it.
 * - Of the key that waits: it is left alone until a new one is due; then this is the new one, after
 *   publish_lead (a second at least). If rotation is on demand only, then at once, since it was asked
 *   for. A wait of up to twice publish_lead is never shortened: a clock that is set by less, and set
 *   right again, changes nothing.
 * So a clock that swings makes no more keys than one for each time of rotate_every that it shows, and
 * the newest key stays the last. */
struct sg_rotation_plan sg_rotation_plan(const struct sg_rotation_policy *policy,
                                         const struct sg_key_times *keys,
                                         const struct sg_key_span *spans, size_t num,
                                         bool wants_new, int64_t now);

#endif
