# nix run 'git+file:///path/to/cutoutd?dir=packaging'   or, from a forge, its address with ?dir=packaging
{
  description = "Watches folders and cuts the subject out of every picture that lands in them, on this machine";

  inputs.nixpkgs.url = "nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      project = (builtins.fromTOML (builtins.readFile ../pyproject.toml)).project;
    in
    {
      packages = each (pkgs: {
        default = pkgs.python3Packages.buildPythonApplication {
          pname = "cutoutd";
          inherit (project) version;
          pyproject = true;
          src = ../.;

          build-system = [ pkgs.python3Packages.hatchling ];
          # Names and floors of pyproject.toml. nixpkgs may have older versions: then the build stops and names them, since some
          # of the floors close holes in decoders.
          dependencies = with pkgs.python3Packages; [
            isal
            numpy
            onnxruntime
            opencv-python-headless
            pillow
            pillow-heif
            platformdirs
            pydantic
            python-multipart
            rawpy
            rich
            simplejpeg
            starlette
            structlog
            tomlkit
            typer
            uvicorn
            watchdog
          ];
          optional-dependencies.hosted = with pkgs.python3Packages; [ certifi httpcore ];

          nativeBuildInputs = [ pkgs.installShellFiles ];
          postInstall = ''
            installManPage man/cutoutd.1
          '';
          pythonImportsCheck = [ "cutoutd" ];
          meta = {
            description = project.description;
            license = with pkgs.lib.licenses; [ mit asl20 ];
            mainProgram = "cutoutd";
          };
        };
      });
    };
}
