#include "kernels/gpu_compile.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/fnv.h"
#include "base/home.h"
#include "base/shared_library.h"

namespace rapid {

namespace {

// NVRTC's C interface, as far as it is used here.
using Program = void*;

struct Nvrtc {
  int (*version)(int*, int*) = nullptr;
  int (*create)(
      Program*,
      const char*,
      const char*,
      int,
      const char* const*,
      const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*code_size)(Program, size_t*) = nullptr;
  int (*code)(Program, char*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  bool found = false;
};

Nvrtc open_nvrtc() {
  Nvrtc out;
  const SharedLibrary library(
      {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"});
  out.found = library.find("nvrtcVersion", out.version) &&
              library.find("nvrtcCreateProgram", out.create) &&
              library.find("nvrtcCompileProgram", out.compile) &&
              library.find("nvrtcGetCUBINSize", out.code_size) &&
              library.find("nvrtcGetCUBIN", out.code) &&
              library.find("nvrtcGetProgramLogSize", out.log_size) &&
              library.find("nvrtcGetProgramLog", out.log) &&
              library.find("nvrtcDestroyProgram", out.destroy);
  return out;
}

const Nvrtc& nvrtc() {
  static const Nvrtc found = open_nvrtc();
  return found;
}

std::filesystem::path kept_file(const std::string& source, int capability) {
  int major = 0;
  int minor = 0;
  nvrtc().version(&major, &minor);
  Fnv1a hash;
  hash.add(source);
  return cache_dir() / "kernels" /
         fmt::format(
             "{:016x}-sm{}-{}.{}.cubin",
             hash.value(),
             capability,
             major,
             minor);
}

// Nobody ever reads half a file. Where it cannot be written nothing is lost.
void keep(const std::filesystem::path& file, const std::string& code) {
  std::error_code none;
  std::filesystem::create_directories(file.parent_path(), none);
  const std::filesystem::path fresh =
      file.string() + fmt::format(".{}", ::getpid());
  {
    std::ofstream out(fresh, std::ios::binary);
    out.write(code.data(), static_cast<std::streamsize>(code.size()));
    if (!out) {
      return;
    }
  }
  std::filesystem::rename(fresh, file, none);
}

}  // namespace

bool cuda_compiler_found() {
  return nvrtc().found;
}

Result<std::string> compile_cuda_afresh(
    const std::string& source, int capability) {
  const Nvrtc& n = nvrtc();
  if (!n.found) {
    return Error{ErrorCode::unsupported, "NVRTC (libnvrtc.so) is not there"};
  }
  Program program = nullptr;
  if (n.create(&program, source.c_str(), "kernel.cu", 0, nullptr, nullptr)) {
    return Error{ErrorCode::unsupported, "NVRTC takes no program"};
  }
  const std::string target =
      fmt::format("--gpu-architecture=sm_{}", capability);
  const std::array<const char*, 2> options = {target.c_str(), "--std=c++17"};
  const int failed = n.compile(program, 2, options.data());
  size_t size = 0;
  std::string text;
  if (failed) {
    n.log_size(program, &size);
    text.resize(size);
    n.log(program, text.data());
    n.destroy(&program);
    return Error{ErrorCode::unsupported, "NVRTC refused a kernel: " + text};
  }
  n.code_size(program, &size);
  text.resize(size);
  n.code(program, text.data());
  n.destroy(&program);
  return text;
}

Result<std::string> compile_cuda(const std::string& source, int capability) {
  if (!nvrtc().found) {
    return Error{ErrorCode::unsupported, "NVRTC (libnvrtc.so) is not there"};
  }
  const std::filesystem::path file = kept_file(source, capability);
  if (std::ifstream in(file, std::ios::binary); in) {
    std::string code{std::istreambuf_iterator<char>(in), {}};
    if (!code.empty()) {
      return code;
    }
  }
  RAPID_TRY(std::string code, compile_cuda_afresh(source, capability));
  keep(file, code);
  return code;
}

}  // namespace rapid
