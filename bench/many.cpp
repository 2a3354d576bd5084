// Many actors at once: throughput against libllama's batched decode, what each token costs beside the passes, how long
// tokens wait for others' prompts, and what thousands of actors take.

#include "many.hpp"

#include "device/device.hpp"
#include "input.hpp"

namespace driftwood::bench {

Result<Report> run_many(const Options& options) {
  ManySetup setup{.threads = options.threads, .short_run = options.short_run};
  DW_TRY_ASSIGN(setup.model, find_model(options.model));
  if (setup.threads == 0) {
    DW_TRY_ASSIGN(const auto device, open_device("cpu"));
    setup.threads = device->info().threads;
  }
  DW_TRY_ASSIGN(setup.text, text_tokens(setup.model, 4096));
  Report report("many");
  report.add_fact("model", {{"file", setup.model.filename().string()}});
  report.add_fact("threads", setup.threads);
  DW_TRY(measure_throughput(setup, report));
  DW_TRY(measure_token_times(setup, report));
  DW_TRY(measure_crowd(setup, report));
  return report;
}

}  // namespace driftwood::bench
