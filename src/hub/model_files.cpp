#include "hub/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "hub/architecture.h"
#include "hub/safetensors.h"
#include "hub/text_file.h"

namespace rapid {

namespace {

namespace fs = std::filesystem;

using Files = std::shared_ptr<const ModelFiles>;

// A template is a text, or a list of {name, template} whose "default" counts.
std::string template_text(const Json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    return "";
  }
  for (const Json& entry : value) {
    if (entry.is_object() && entry.value("name", Json()) == "default") {
      return template_text(entry.value("template", Json()));
    }
  }
  return "";
}

Result<std::string> template_of_json(const fs::path& path) {
  if (!fs::exists(path)) {
    return std::string();
  }
  RAPID_TRY(const Json json, read_json_file(path));
  if (!json.is_object()) {
    return std::string();
  }
  return template_text(json.value("chat_template", Json()));
}

Result<std::string> folder_template(const fs::path& folder) {
  RAPID_TRY(
      std::string jinja, read_optional_text(folder / "chat_template.jinja"));
  if (!jinja.empty()) {
    return jinja;
  }
  RAPID_TRY(jinja, template_of_json(folder / "tokenizer_config.json"));
  if (!jinja.empty()) {
    return jinja;
  }
  return template_of_json(folder / "chat_template.json");
}

Result<Files> open_gguf(const std::string& path) {
  RAPID_TRY(auto gguf, GgufFile::open(path));
  if (gguf->number("split.count").value_or(1) > 1) {
    return Error{
        ErrorCode::unsupported,
        path + " is one part of a split model, which is not supported",
        "join the parts into one file first",
        path};
  }
  auto out = std::make_shared<ModelFiles>();
  out->container = ModelFiles::Container::gguf;
  out->path = path;
  out->architecture = gguf->architecture();
  if (out->architecture.empty()) {
    return Error{
        ErrorCode::corrupt,
        path + ": metadata general.architecture is missing",
        "use a GGUF file that holds a whole model",
        path};
  }
  out->tensors = gguf->tensors();
  out->chat_template = gguf->string("tokenizer.chat_template").value_or("");
  out->gguf = std::move(gguf);
  return Files(std::move(out));
}

Result<std::string> read_tokenizer(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.json";
  if (fs::exists(path)) {
    return read_text_file(path);
  }
  const bool other = fs::exists(folder / "tokenizer.model") ||
                     fs::exists(folder / "vocab.json");
  return Error{
      ErrorCode::not_found,
      "there is no tokenizer.json in " + folder.string(),
      other ? "convert the tokenizer that is there to tokenizer.json with "
              "transformers' AutoTokenizer and save_pretrained"
            : "fetch the model's tokenizer.json into that folder",
      path.string()};
}

Result<Files> open_safetensors(const fs::path& folder) {
  auto out = std::make_shared<ModelFiles>();
  out->container = ModelFiles::Container::safetensors;
  out->path = folder.string();
  const fs::path config = folder / "config.json";
  if (!fs::exists(config)) {
    return Error{
        ErrorCode::not_found,
        "there is no config.json in " + folder.string(),
        "the folder of a model holds config.json, *.safetensors and "
        "tokenizer.json",
        config.string()};
  }
  RAPID_TRY(out->config, read_json_file(config));
  out->architecture = model_type_of(out->config);
  if (out->architecture.empty()) {
    return Error{
        ErrorCode::corrupt,
        config.string() + " names no model_type",
        "fetch the model's own config.json",
        config.string()};
  }
  RAPID_TRY(out->quantisation, QuantConfig::from_config(out->config));
  if (fs::exists(folder / "generation_config.json")) {
    RAPID_TRY(
        out->generation_config,
        read_json_file(folder / "generation_config.json"));
  }
  RAPID_TRY(out->tokenizer_json, read_tokenizer(folder));
  RAPID_TRY(
      out->tokenizer_config,
      read_optional_text(folder / "tokenizer_config.json"));
  RAPID_TRY(out->chat_template, folder_template(folder));
  RAPID_TRY(out->tensors, open_safetensors_folder(folder.string()));
  return Files(std::move(out));
}

// The .gguf files of a folder that are models of their own.
std::vector<fs::path> ggufs_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".gguf") {
      found.push_back(entry.path());
    }
  }
  std::ranges::sort(found);
  return found;
}

// Its config.json counts, not a .gguf that lies beside it.
bool is_of_safetensors(
    const fs::path& folder, const std::vector<fs::path>& ggufs) {
  if (!fs::exists(folder / "config.json") && !ggufs.empty()) {
    return false;
  }
  return ggufs.size() != 1 ||
         std::ranges::any_of(
             fs::directory_iterator(folder), [](const auto& entry) {
               return entry.path().extension() == ".safetensors";
             });
}

Result<Files> open_folder(const fs::path& folder) {
  const auto ggufs = ggufs_in(folder);
  if (is_of_safetensors(folder, ggufs)) {
    return open_safetensors(folder);
  }
  if (ggufs.size() > 1) {
    std::string names;
    for (const fs::path& path : ggufs) {
      names += (names.empty() ? "" : ", ") + path.filename().string();
    }
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{} holds several models: {}", folder.string(), names),
        "name one of the files",
        folder.string()};
  }
  return open_gguf(ggufs.front().string());
}

}  // namespace

Result<Files> ModelFiles::open(const std::string& path) {
  std::error_code failed;
  const auto status = fs::status(path, failed);
  if (!fs::exists(status)) {
    return Error{
        ErrorCode::not_found, path + " does not exist", "check the path", path};
  }
  if (fs::is_directory(status)) {
    return open_folder(path);
  }
  if (fs::path(path).extension() == ".safetensors") {
    return Error{
        ErrorCode::invalid_argument,
        path + " is only a model's weights",
        "name the folder that holds it with config.json and tokenizer.json",
        path};
  }
  return open_gguf(path);
}

std::string model_type_of(const Json& config) {
  const Json type =
      config.is_object() ? config.value("model_type", Json()) : Json();
  return type.is_string() ? type.get<std::string>() : "";
}

std::string architecture_of(const std::string& path) {
  std::error_code failed;
  if (!fs::is_directory(path, failed)) {
    const auto gguf = GgufFile::open(path);
    return gguf ? (*gguf)->architecture() : "";
  }
  const auto ggufs = ggufs_in(path);
  if (is_of_safetensors(path, ggufs)) {
    const auto config = read_json_file(fs::path(path) / "config.json");
    return config ? model_type_of(*config) : "";
  }
  return ggufs.size() == 1 ? architecture_of(ggufs.front().string()) : "";
}

size_t ModelFiles::bytes() const {
  size_t sum = 0;
  for (const TensorView& tensor : tensors) {
    sum += tensor.bytes.size();
  }
  return sum;
}

}  // namespace rapid
