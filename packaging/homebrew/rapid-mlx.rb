# `make formula URL=...` writes dist/rapid-mlx.rb with the address and sha256 of
# a release's sdist; here both are placeholders.
class RapidMlx < Formula
  desc "Local language model server for agents, built on MLX"
  homepage "https://example.com/rapid-mlx"
  url "https://example.com/rapid_mlx-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "boost" => :build
  depends_on "cli11" => :build
  depends_on "cmake" => :build
  depends_on "ninja" => :build
  depends_on "nlohmann-json" => :build
  depends_on "node" => :build
  depends_on "pkgconf" => :build
  depends_on "rust" => :build
  depends_on "tomlplusplus" => :build
  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "fmt"
  depends_on "libedit"
  depends_on "minizip"
  depends_on "mlx"
  depends_on "openssl@3"
  depends_on "spdlog"
  depends_on "yaml-cpp"

  uses_from_macos "curl"
  uses_from_macos "sqlite"

  def install
    # The page at /.
    cd("web") { system "npm", "ci", *std_npm_args(prefix: false) }
    system "cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DRAPID_MLX_TESTS=OFF", *std_cmake_args
    system "cmake", "--build", "build", "--target", "rapid-mlx"
    bin.install "build/bin/rapid-mlx"

    generate_completions_from_executable(bin/"rapid-mlx", "completion", shells: [:bash, :zsh, :fish])
    (man1/"rapid-mlx.1").write Utils.safe_popen_read(bin/"rapid-mlx", "man")
  end

  service do
    run [opt_bin/"rapid-mlx", "serve"]
    keep_alive crashed: true
    log_path var/"log/rapid-mlx.log"
    error_log_path var/"log/rapid-mlx.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/rapid-mlx version")
    assert_path_exists man1/"rapid-mlx.1"
    assert_match "\"content\"", pipe_output("#{bin}/rapid-mlx parse --format hermes", "hi", 0)
  end
end
