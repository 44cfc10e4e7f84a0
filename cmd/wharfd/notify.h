/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how the daemon is: sd_notify(3), whose library is larger than wharfd.
 */
#ifndef WHARFD_NOTIFY_H
#define WHARFD_NOTIFY_H

/* "READY=1", "STOPPING=1", "RELOADING=1" (with MONOTONIC_USEC, which it asks for); nothing happens
 * when nobody manages. */
void notify(const char *state);

#endif
