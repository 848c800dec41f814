/* SPDX-License-Identifier: Apache-2.0
 *
 * The fuse against a storm of tokens: each grant has a ceiling of tokens that have not expired. The token that
 * would be above it is not minted, and the grant is frozen: nothing is signed under it, whatever expires, until
 * an operator thaws it. A thaw forgives the tokens that are alive at that moment; the ceiling holds for those
 * that are minted from then on, or a thaw would be followed by the next freeze.
 *
 * Grants are known by name, so that counts and freezes outlive a reload. Tokens are counted by when they
 * expire, in steps of at most an eighth of what they have left to live: a token counts until the end of its
 * step, so that there are never more alive than were counted. Counts begin at 0 with the process, freezes do
 * not: their owner keeps them (on_freeze, sg_fuse_restore).
 */
#ifndef SG_FUSE_H
#define SG_FUSE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stdint.h>

struct sg_fuse;

#define SG_FUSE_MAX_GRANTS 4096u
#define SG_FUSE_MAX_NAME   64u

/* Called for every change, one at a time and in their order, on the thread that caused it, before that is
 * answered. They must not call the fuse. */
struct sg_fuse_events {
    void *context;
    /* The grant is frozen from here on, whatever becomes of this. NULL: nobody keeps it. */
    void (*on_freeze)(void *context, const char *grant, int64_t since);
    /* Is it kept that it is not frozen? Other than SIGNET_OK: it stays so. NULL: nobody keeps it. */
    signet_status (*on_thaw)(void *context, const char *grant);
};

/* sg_fuse_new: events may be NULL. RESOURCE_EXHAUSTED without memory. */
signet_status sg_fuse_new(const struct sg_fuse_events *events,
                          struct sg_fuse **out) SIGNET_MUST_CHECK;
void sg_fuse_free(struct sg_fuse *fuse); /* NULL is legal */

/* sg_fuse_restore freezes a grant as it was frozen before: nothing is called. Before the first request. */
signet_status sg_fuse_restore(struct sg_fuse *fuse, const char *grant,
                              int64_t since) SIGNET_MUST_CHECK;

enum sg_fuse_verdict {
    SG_FUSE_MAY = 1,  /* the token is counted: whether it is then minted or not */
    SG_FUSE_FROZEN,   /* the grant is, or has just become so */
    SG_FUSE_NO_MEMORY /* not counted, and not to be minted */
};

/* sg_fuse_admit asks for a token under the grant (1 to SG_FUSE_MAX_NAME bytes) that expires at exp, a moment
 * after now, both in seconds since 1970. max_live: the grant's ceiling; 0: it has none, and the token is not
 * counted; but a frozen grant is frozen. Any thread. */
enum sg_fuse_verdict sg_fuse_admit(struct sg_fuse *fuse, const char *grant, uint64_t max_live,
                                   int64_t exp, int64_t now) SIGNET_MUST_CHECK;

/* sg_fuse_is_frozen says whether nothing is signed under the grant. Any thread. */
bool sg_fuse_is_frozen(struct sg_fuse *fuse, const char *grant);

/* sg_fuse_thaw lets a frozen grant sign again and forgives it the tokens that are alive. NOT_FOUND: it is not
 * frozen. Otherwise what on_thaw returned. Any thread. */
signet_status sg_fuse_thaw(struct sg_fuse *fuse, const char *grant) SIGNET_MUST_CHECK;

struct sg_fuse_grant {
    const char *name;
    uint64_t num_live;     /* counted, and not expired */
    uint64_t num_forgiven; /* of these, by a thaw */
    int64_t frozen_since;  /* seconds since 1970; 0: it is not frozen */
};

/* sg_fuse_read fills *out with what there is of a grant: zeros and the name if nothing is. Any thread. */
void sg_fuse_read(struct sg_fuse *fuse, const char *grant, int64_t now, struct sg_fuse_grant *out);

#endif
