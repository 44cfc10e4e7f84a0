/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. The lists are ours; every word of the first goes with every word of the second. */
#include "engine/names.h"

#include <stdio.h>
#include <sys/random.h>
#include "base/str.h"

static const char *const adjectives[] = {
    "able",   "agile",   "amber",  "ample",  "azure",  "bold",   "brave",   "breezy",
    "bright", "brisk",   "calm",   "candid", "clear",  "clever", "coral",   "cosy",
    "crisp",  "curious", "daring", "deft",   "eager",  "early",  "easy",    "fair",
    "fleet",  "fresh",   "gentle", "glad",   "golden", "grand",  "hardy",   "hearty",
    "humble", "ivory",   "jolly",  "keen",   "kind",   "lively", "loyal",   "lucid",
    "mellow", "merry",   "mighty", "misty",  "nimble", "noble",  "patient", "plucky",
    "polite", "proud",   "quick",  "quiet",  "ready",  "robust", "salty",   "silver",
    "sleek",  "steady",  "sturdy", "sunny",  "swift",  "tidal",  "vivid",   "warm",
};

static const char *const things[] = {
    "albatross", "anchor",  "anchovy",   "atoll",    "barge",     "bay",     "beacon",   "bollard",
    "bowsprit",  "breaker", "buoy",      "capstan",  "catamaran", "channel", "clipper",  "compass",
    "cormorant", "cove",    "crane",     "current",  "cutter",    "delta",   "dinghy",   "dock",
    "dolphin",   "dory",    "ferry",     "fjord",    "frigate",   "galleon", "gannet",   "gull",
    "halyard",   "harbour", "helm",      "heron",    "horizon",   "island",  "jetty",    "keel",
    "ketch",     "lagoon",  "lantern",   "lighter",  "marlin",    "mooring", "narwhal",  "osprey",
    "otter",     "pelican", "pilot",     "porpoise", "quay",      "rudder",  "schooner", "seal",
    "sextant",   "sloop",   "spinnaker", "tern",     "tide",      "trawler", "whale",    "yawl",
};

static int random_number(uint32_t *ret)
{
    return getrandom(ret, sizeof(*ret), 0) == sizeof(*ret) ? 0 : -EIO;
}

int id_random(char *id)
{
    unsigned char bytes[ID_LENGTH / 2];

    do {
        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
            return -EIO;
        hex_encode(bytes, sizeof(bytes), id);
    } while (strspn(id, "0123456789") >= 12);
    return 0;
}

int name_random(char *name, size_t size, unsigned attempt)
{
    uint32_t number;

    if (random_number(&number) < 0)
        return -EIO;
    const char *adjective = adjectives[number % ARRAY_SIZE(adjectives)];
    const char *thing = things[number / ARRAY_SIZE(adjectives) % ARRAY_SIZE(things)];
    if (attempt > 0)
        snprintf(name, size, "%s_%s%u", adjective, thing,
                 (number >> 16) % (10 * attempt * attempt));
    else
        snprintf(name, size, "%s_%s", adjective, thing);
    return 0;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int name_check(const char *name, struct wharf_error *e)
{
    size_t len = strlen(name);
    bool good = len >= 2 && len <= NAME_MAX_LENGTH && is_alnum(name[0]);

    for (size_t i = 1; good && i < len; i++)
        good = is_alnum(name[i]) || strchr("_.-", name[i]);
    if (!good)
        return err_invalid(
            e, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
    return 0;
}
