// Where a folder of many models keeps what is one model's own.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <string>

namespace rapid {

inline std::filesystem::path model_folder(
    const std::filesystem::path& folder, const std::string& model_path) {
  return folder / fmt::format("{:016x}", std::hash<std::string>()(model_path));
}

}  // namespace rapid
