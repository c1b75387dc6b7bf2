# formula_run.rb FORMULA: loads it with the few of Homebrew's names that it
# uses, runs it, and prints what it does. An unknown name is an error.
require "pathname"

class Pathname
  def install(path) = puts("install #{path}")

  def write(text) = puts("write #{self} #{text}")
end

module Utils
  def self.safe_popen_read(*words) = "#{File.basename(words.shift)} #{words.join(" ")}"
end

class Formula
  class << self
    attr_reader :service_block, :test_block

    %w[desc homepage url sha256 license].each { |name| define_method(name) { |text| String(text) } }
    def depends_on(what) = what
    def uses_from_macos(name) = String(name)
    def service(&block) = @service_block = block
    def test(&block) = @test_block = block
  end

  def bin = Pathname("bin")
  def opt_bin = Pathname("bin")
  def man1 = Pathname("man1")
  def var = Pathname("var")
  def version = "0.1.0"
  def std_cmake_args = ["-DCMAKE_BUILD_TYPE=Release"]
  def std_npm_args(prefix:) = prefix ? ["--global"] : []
  def cd(folder) = File.directory?(File.join(__dir__, "../..", folder)) ? yield : raise("no folder #{folder}")
  def system(*words) = puts(words.join(" "))

  def generate_completions_from_executable(_program, *words, shells:)
    puts "completions #{words.join(" ")} #{shells.join(" ")}"
  end

  # of `service`
  def run(words) = puts("service #{words.join(" ")}")
  def keep_alive(**how) = how.fetch(:crashed)
  def log_path(path) = Pathname(path)
  def error_log_path(path) = Pathname(path)

  # of `test`
  def shell_output(_command) = "rapid-mlx 0.1.0"
  def assert_path_exists(path) = puts("test #{path}")

  def pipe_output(command, _input, status)
    puts "test #{command.split[1]}"
    raise "status" unless status.zero?

    "{\"content\""
  end

  def assert_match(wanted, got) = got.include?(wanted) || raise("#{wanted} is not in #{got}")
end

load ARGV.fetch(0)
formula = RapidMlx.new
formula.install
formula.instance_eval(&RapidMlx.service_block)
formula.instance_eval(&RapidMlx.test_block)
