// Driftwood, to be embedded in a program: sandboxed WebAssembly actors that hold a running AI model
// session as ordinary memory, and can be frozen, thawed and forked.
//
//   Runtime --load_program--> Program          Store --load--> Snapshot
//      |                         |                                |
//      +----- spawn(program) ----+---- thaw(program, snapshot) ---+
//                     |                        |
//                   Actor: ask, post, fork, freeze, save, kill
//
// What can fail returns Result<T> (error.hpp). Each header says which threads may call and what
// lives how long; docs/embedding.md shows it together.
#pragma once

#include <driftwood/actor.hpp>
#include <driftwood/device.hpp>
#include <driftwood/error.hpp>
#include <driftwood/hash.hpp>
#include <driftwood/model.hpp>
#include <driftwood/program.hpp>
#include <driftwood/runtime.hpp>
#include <driftwood/snapshot.hpp>
#include <driftwood/store.hpp>
#include <driftwood/version.hpp>
