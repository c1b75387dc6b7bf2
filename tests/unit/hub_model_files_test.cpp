#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/architecture.h"
#include "hub/model_files.h"
#include "unit/gguf_writer.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using test::TempFolder;
using testing::HasSubstr;

std::string gguf_text(bool split = false) {
  test::GgufWriter file;
  file.header(1, split ? 3 : 2)
      .text("general.architecture", "toy")
      .text("tokenizer.chat_template", "from gguf");
  if (split) {
    file.value<uint16_t>("split.count", 2, 3);
  }
  file.tensor("a", {4}, 0, 0).data(16);
  return file.raw();
}

void fill(const TempFolder& folder) {
  folder.write(
      "config.json",
      R"({"model_type":"toy","quantization":{"bits":4,"group_size":32}})");
  folder.write("tokenizer.json", "{}");
  folder.write(
      "model.safetensors",
      test::safetensors(
          R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "xyz"));
}

std::shared_ptr<const ModelFiles> opened(const std::filesystem::path& path) {
  auto files = ModelFiles::open(path.string());
  EXPECT_TRUE(files) << files.error().what;
  return files ? *files : nullptr;
}

Error refused(const std::filesystem::path& path) {
  auto files = ModelFiles::open(path.string());
  EXPECT_FALSE(files);
  return files ? Error{} : files.error();
}

TEST(ModelFiles, OpensGgufFileAndItsFolder) {
  TempFolder folder;
  const auto path = folder.write("m.gguf", gguf_text());
  folder.write("config.json", "{}");
  for (const auto& where : {path, folder.path()}) {
    const auto files = opened(where);
    ASSERT_TRUE(files);
    EXPECT_EQ(files->container, ModelFiles::Container::gguf);
    EXPECT_EQ(files->architecture, "toy");
    EXPECT_EQ(files->chat_template, "from gguf");
    EXPECT_TRUE(files->config.is_null());
    EXPECT_EQ(files->bytes(), 16u);
  }
  folder.write("n.gguf", gguf_text());
  std::filesystem::remove(folder.path() / "config.json");
  EXPECT_THAT(refused(folder.path()).what, HasSubstr("m.gguf, n.gguf"));
}

TEST(ModelFiles, TellsTheArchitectureAlone) {
  TempFolder folder;
  const auto path = folder.write("m.gguf", gguf_text());
  EXPECT_EQ(architecture_of(path.string()), "toy");
  EXPECT_EQ(architecture_of(folder.path().string()), "toy");
  folder.write("config.json", R"({"model_type": "other"})");
  EXPECT_EQ(architecture_of(folder.path().string()), "toy");
  folder.write("model.safetensors", "not looked at");
  EXPECT_EQ(architecture_of(folder.path().string()), "other");
  folder.write("config.json", R"({"model_type": 3})");
  EXPECT_EQ(architecture_of(folder.path().string()), "");
  folder.write("config.json", "{");
  EXPECT_EQ(architecture_of(folder.path().string()), "");
  EXPECT_EQ(architecture_of(folder.write("e.gguf", "GGUF").string()), "");
  EXPECT_EQ(architecture_of((folder.path() / "absent").string()), "");
}

TEST(ModelFiles, RefusesPartsAndFragments) {
  TempFolder folder;
  EXPECT_EQ(
      refused(folder.write("s.gguf", gguf_text(true))).code,
      ErrorCode::unsupported);
  EXPECT_EQ(refused(folder.path() / "absent").code, ErrorCode::not_found);
  EXPECT_EQ(refused(folder.write("e.gguf", "")).code, ErrorCode::corrupt);
  EXPECT_EQ(refused(folder.write("t.gguf", "GGUF")).code, ErrorCode::corrupt);
  EXPECT_THAT(
      refused(folder.write("w.safetensors", "x")).hint, HasSubstr("folder"));
}

TEST(ModelFiles, OpensSafetensorsFolder) {
  TempFolder folder;
  fill(folder);
  folder.write("generation_config.json", R"({"eos_token_id": 3})");
  const auto files = opened(folder.path());
  ASSERT_TRUE(files);
  EXPECT_EQ(files->container, ModelFiles::Container::safetensors);
  EXPECT_EQ(files->architecture, "toy");
  EXPECT_EQ(files->quantisation.scheme_for("any")->group_size, 32);
  EXPECT_EQ(files->generation_config["eos_token_id"], 3);
  EXPECT_EQ(files->tokenizer_json, "{}");
  EXPECT_EQ(files->tokenizer_config, "");
  EXPECT_EQ(files->chat_template, "");
  EXPECT_EQ(files->bytes(), 3u);
}

TEST(ModelFiles, FindsTheTemplateInOrder) {
  TempFolder folder;
  fill(folder);
  folder.write("chat_template.json", R"({"chat_template": "old"})");
  EXPECT_EQ(opened(folder.path())->chat_template, "old");
  folder.write("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(opened(folder.path())->chat_template, "one");
  folder.write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "no"},
          {"name": "default", "template": "listed"}]})");
  EXPECT_EQ(opened(folder.path())->chat_template, "listed");
  folder.write("chat_template.jinja", "jinja");
  EXPECT_EQ(opened(folder.path())->chat_template, "jinja");
}

TEST(ModelFiles, TellsWhatAFolderLacks) {
  TempFolder folder;
  EXPECT_THAT(refused(folder.path()).what, HasSubstr("no config.json"));
  fill(folder);
  std::filesystem::remove(folder.path() / "tokenizer.json");
  EXPECT_THAT(refused(folder.path()).what, HasSubstr("no tokenizer.json"));
  folder.write("tokenizer.model", "x");
  EXPECT_THAT(refused(folder.path()).hint, HasSubstr("convert"));
  fill(folder);
  folder.write("config.json", "{}");
  EXPECT_THAT(refused(folder.path()).what, HasSubstr("no model_type"));
  folder.write("config.json", R"({"model_type": )");
  const Error broken = refused(folder.path());
  EXPECT_EQ(broken.code, ErrorCode::corrupt);
  EXPECT_THAT(broken.what, HasSubstr("config.json: not valid JSON"));
  EXPECT_THAT(broken.param, HasSubstr("config.json"));
}

}  // namespace
}  // namespace rapid
