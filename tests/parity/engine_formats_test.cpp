// Real chat templates (tools/fetch_templates.py): each gets the format of its
// family, and that format reads the call as the template writes it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/history.h"
#include "formats/reasoning.h"
#include "formats/registry.h"
#include "text/chat_template.h"

namespace rapid {
namespace {

// Beginnings of file names, the longest counts; the rest is not looked at.
const std::map<std::string, std::string>& families() {
  static const std::map<std::string, std::string> all = {
      {"ByteDance-Seed-OSS", "seed_oss"},
      {"GLM-4.6", "glm47"},
      {"GLM-4.7-Flash", "glm47"},
      {"LFM2.5-8B", "lfm"},
      {"MiniMax-M2", "minimax"},
      {"Mistral-Small-3.2", "mistral"},
      {"NVIDIA-Nemotron-3-Nano", "qwen3_coder_xml"},
      {"NousResearch-Hermes", "hermes"},
      {"Qwen-Qwen2.5", "hermes"},
      {"Qwen-Qwen3-0.6B", "hermes"},
      {"Qwen3-Coder", "qwen3_coder_xml"},
      {"Qwen3.5-4B", "qwen3_coder_xml"},
      {"deepseek-ai-DeepSeek-R1-Distill", "deepseek_v3"},
      {"deepseek-ai-DeepSeek-V3.1", "deepseek_v31"},
      {"deepseek-ai-DeepSeek-V4-Flash-0731", "deepseek_v4_0731"},
      {"google-gemma-4", "gemma4"},
      {"ibm-granite-granite-4", "hermes"},
      {"meta-llama-Llama-3", "llama"},
      {"mistralai-Ministral-3", "mistral"},
      {"mistralai-Mistral-Nemo", "mistral"},
      {"moonshotai-Kimi-K2", "kimi"},
      {"muse-glimmer", "muse"},
      {"openai-gpt-oss", "harmony"},
      {"openbmb-MiniCPM5", "minicpm"},
      {"tencent-Hy3", "hy_v3"},
      {"unsloth-mistral-Devstral", "mistral"},
  };
  return all;
}

struct Real {
  std::string name;
  std::string source;
  std::shared_ptr<const ChatTemplate> chat;
  std::string call;  // as the template writes it
};

std::string folder() {
  const char* given = std::getenv("RAPID_MLX_TEST_TEMPLATES");
  return given != nullptr
             ? given
             : std::string(RAPID_MLX_SOURCE_DIR) + "/.deps/templates";
}

std::vector<Real> templates() {
  std::vector<Real> out;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder(), none)) {
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    auto chat =
        ChatTemplate::compile(text.str(), {.bos = "<s>", .eos = "</s>"});
    if (entry.path().extension() != ".jinja" || !chat) {
      continue;
    }
    const RenderTemplate render = [&](const TemplateInput& input) {
      return (*chat)->render(input);
    };
    HistoryOptions options;
    options.support = probe_template(render);
    out.push_back(
        {entry.path().stem(),
         text.str(),
         *chat,
         rendered_call(render, options)});
  }
  std::ranges::sort(out, {}, &Real::name);
  return out;
}

TEST(TemplateFormats, ChosenAndRead) {
  const auto all = templates();
  if (all.empty()) {
    GTEST_SKIP() << "no templates: tools/setup --tests fetches them";
  }
  int looked_at = 0;
  for (const Real& real : all) {
    std::string family;
    size_t longest = 0;
    for (const auto& [begin, format] : families()) {
      if (real.name.starts_with(begin) && begin.size() > longest) {
        longest = begin.size();
        family = format;
      }
    }
    const OutputFormat& format = FormatRegistry::global().choose(
        {.source = real.source, .rendered_call = real.call});
    if (family.empty()) {
      continue;
    }
    ++looked_at;
    EXPECT_EQ(format.name(), family) << real.name << "\n" << real.call;
    FormatInput input;
    input.tools.push_back({.name = "probe", .parameters = Json::object()});
    std::vector<FormatEvent> events;
    const auto machine = start_machine(format, input);
    machine->feed(real.call, events);
    machine->finish(FinishCause::end, events);
    int calls = 0;
    for (const FormatEvent& event : events) {
      if (const auto* call = std::get_if<FormatCall>(&event)) {
        ++calls;
        EXPECT_EQ(call->name, "probe");
        EXPECT_EQ(*parse_json(call->arguments), Json({{"key", "value"}}));
      }
    }
    EXPECT_EQ(calls, 1) << real.name << "\n" << real.call;
  }
  EXPECT_GE(looked_at, 25);
}

}  // namespace
}  // namespace rapid
