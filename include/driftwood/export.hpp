// What makes a name part of the library's binary interface.
//
// The library's names lie in the inline namespace driftwood::v1, so that those of an incompatible
// version to come are others; users write driftwood::Runtime and never the version.
#pragma once

#define DRIFTWOOD_API __attribute__((visibility("default")))

#ifdef DRIFTWOOD_BUILDING_LIBRARY  // where what it is made of has like names in driftwood itself
#define DRIFTWOOD_V1 v1
#else
#define DRIFTWOOD_V1 inline v1
#endif
