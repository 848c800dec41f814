/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators may ask of the policy: AdminService's ExplainPolicy, ListGrants and ThawGrant.
 */
#ifndef SG_POLICY_SERVICE_H
#define SG_POLICY_SERVICE_H

#include "server/services.h"

signet_status sg_policy_explain_call(struct sg_exchange *exchange);
signet_status sg_policy_list_grants(struct sg_exchange *exchange);
signet_status sg_policy_thaw_grant(struct sg_exchange *exchange);

#endif
