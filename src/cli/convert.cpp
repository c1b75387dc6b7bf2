#include "engine/convert.h"

#include <fmt/format.h>

#include <memory>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/table.h"
#include "hub/store.h"

namespace rapid {

namespace {

struct ConvertFlags {
  ConvertOptions convert;
  bool plain = false;
  double shard_gib = 5;
  bool json = false;
};

int convert(ConvertFlags& flags) {
  const auto place = Store::open_default().locate(flags.convert.from);
  if (!place) {
    return report(place.error());
  }
  flags.convert.from = place->string();
  flags.convert.quantise = !flags.plain;
  flags.convert.shard_bytes =
      static_cast<uint64_t>(flags.shard_gib * 1024 * 1024 * 1024);
  const auto done = convert_model(flags.convert);
  if (!done) {
    return report(done.error());
  }
  if (flags.json) {
    print_json(
        {{"path", flags.convert.to},
         {"tensors", done->tensors},
         {"bytes", done->bytes},
         {"shards", done->shards},
         {"bits_per_weight", done->bits_per_weight}});
    return kExitDone;
  }
  fmt::print(
      "{}: {} tensors, {}, {:.3f} bits per weight\n",
      flags.convert.to,
      done->tensors,
      human_bytes(done->bytes),
      done->bits_per_weight);
  return kExitDone;
}

std::function<int()> configure(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  ConvertOptions& o = flags->convert;
  app.add_option(
         "in", o.from, "A folder with config.json and plain *.safetensors")
      ->required();
  app.add_option("out", o.to, "The folder to write; it must not exist")
      ->required();
  app.add_option("--bits", o.bits, "Bits of a weight (default: the mode's)")
      ->check(CLI::Range(2, 8));
  app.add_option(
         "--group",
         o.group_size,
         "Weights that share a scale (default: the "
         "mode's)")
      ->check(CLI::Range(16, 128));
  app.add_option("--mode", o.mode, "affine, mxfp4, nvfp4 or mxfp8")
      ->check(CLI::IsMember({"affine", "mxfp4", "nvfp4", "mxfp8"}));
  app.add_option(
         "--predicate",
         o.predicate,
         "A mix of bits: mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6")
      ->check(
          CLI::IsMember({"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"}));
  app.add_option(
         "--dtype",
         o.dtype,
         "Type of what is not quantised (default: the "
         "configuration's)")
      ->check(CLI::IsMember({"float16", "bfloat16", "float32"}));
  app.add_flag("--plain", flags->plain, "Do not quantise");
  app.add_option("--shard-gib", flags->shard_gib, "Most of one file, in GiB")
      ->check(CLI::Range(0.001, 1000.0));
  add_json_flag(app, flags->json);
  return [flags] { return convert(*flags); };
}

}  // namespace

void register_command_convert(CommandTable& table) {
  table.add({
      .name = "convert",
      .summary = "Quantise a model's folder into MLX's format",
      .examples =
          "Examples:\n"
          "  rapid-mlx convert ./model ./model-4bit\n"
          "  rapid-mlx convert ./model ./model-mxfp4 --mode mxfp4\n"
          "  rapid-mlx convert ./model ./model-mixed --predicate mixed_4_6\n",
      .order = 24,
      .group = "Models",
      .configure = configure,
  });
}

}  // namespace rapid
