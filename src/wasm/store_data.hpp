// What a guest's store carries for the functions that it calls. Internal to src/wasm.
#pragma once

namespace driftwood {

class Region;
class Watch;
struct Determinism;

struct StoreData {
  void* host = nullptr;                ///< given to every HostFunction
  Watch* watch = nullptr;              ///< of the Instance
  Region* memory = nullptr;            ///< the guest's linear memory
  Determinism* determinism = nullptr;  ///< null: clocks and random numbers are the system's
};

}  // namespace driftwood
