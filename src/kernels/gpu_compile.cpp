#include "kernels/gpu_compile.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/home.h"

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

template <typename F>
bool load(void* library, const char* name, F& to) {
  to = reinterpret_cast<F>(dlsym(library, name));
  return to != nullptr;
}

Nvrtc open_nvrtc() {
  Nvrtc out;
  void* library = nullptr;
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}) {
    library = library ? library : dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  out.found = library && load(library, "nvrtcVersion", out.version) &&
              load(library, "nvrtcCreateProgram", out.create) &&
              load(library, "nvrtcCompileProgram", out.compile) &&
              load(library, "nvrtcGetCUBINSize", out.code_size) &&
              load(library, "nvrtcGetCUBIN", out.code) &&
              load(library, "nvrtcGetProgramLogSize", out.log_size) &&
              load(library, "nvrtcGetProgramLog", out.log) &&
              load(library, "nvrtcDestroyProgram", out.destroy);
  return out;
}

const Nvrtc& nvrtc() {
  static const Nvrtc found = open_nvrtc();
  return found;
}

uint64_t hash_of(std::string_view text) {  // FNV-1a
  uint64_t out = 14695981039346656037ULL;
  for (const char c : text) {
    out = (out ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  return out;
}

std::filesystem::path kept_file(const std::string& source, int capability) {
  int major = 0;
  int minor = 0;
  nvrtc().version(&major, &minor);
  return cache_dir() / "kernels" /
         fmt::format(
             "{:016x}-sm{}-{}.{}.cubin",
             hash_of(source),
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
