#include "device/cpu/kernel_features.hpp"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <hwy/targets.h>

#include <algorithm>
#include <string_view>

namespace driftwood::cpu {

std::vector<std::string> kernel_features() {
  // Better targets have lower bits.
  const auto supported = hwy::SupportedTargets();
  std::vector<std::string> features = {fmt::format("highway {}", hwy::TargetName(supported & -supported))};
  ggml_backend_reg_t registry = ggml_backend_cpu_reg();
  const auto get_features = reinterpret_cast<ggml_backend_get_features_t>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_get_features"));
  if (get_features != nullptr) {
    for (const ggml_backend_feature* feature = get_features(registry); feature->name != nullptr; ++feature) {
      if (std::string_view(feature->value) != "0") features.push_back(fmt::format("ggml {}", feature->name));
    }
  }
  std::ranges::sort(features);
  return features;
}

}  // namespace driftwood::cpu
