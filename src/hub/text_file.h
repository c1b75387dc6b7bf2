// Whole small files of a model folder: configurations, templates, tokenizers.
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

// Errors: not_found, io, or corrupt over 1 GiB; each names the path.
Result<std::string> read_text_file(const std::filesystem::path& path);

// As above; text that is not a JSON is corrupt and names the file.
Result<Json> read_json_file(const std::filesystem::path& path);

// The file's text, or "" when there is no such file.
Result<std::string> read_optional_text(const std::filesystem::path& path);

}  // namespace rapid
