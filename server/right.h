/* SPDX-License-Identifier: Apache-2.0
 *
 * What a grant may allow, and the words for it.
 */
#ifndef SG_RIGHT_H
#define SG_RIGHT_H

/* Each is one bit, so that several make a set. */
enum sg_right {
    SG_RIGHT_SIGN = 1,
    SG_RIGHT_VERIFY = 2,
    SG_RIGHT_REVOKE = 4,
    SG_RIGHT_ADMIN = 8
};
#define SG_NUM_RIGHTS 4u

/* sg_right_at is the right of an index below SG_NUM_RIGHTS, in the order of their bits. */
enum sg_right sg_right_at(unsigned index);

/* sg_right_name is its word in the configuration, in requests and in the audit: "sign", "verify", "revoke",
 * "admin"; "?" for what is not one right. Static. */
const char *sg_right_name(enum sg_right right);

/* sg_right_of is the right of a word; 0 if there is none. */
unsigned sg_right_of(const char *name);

#endif
