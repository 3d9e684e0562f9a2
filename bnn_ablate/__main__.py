"""``python -m bnn_ablate [-m] group=option ...``: one run, or the grid."""
import hydra, json
from omegaconf import DictConfig, OmegaConf
@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def main(cfg: DictConfig):
    from bnn_ablate.settings import read_settings
    s = read_settings(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    print(s)
main()
