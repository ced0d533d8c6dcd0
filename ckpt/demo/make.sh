# Trains the weights of this folder from scratch; `make demo-weights` runs it from the repository's root.
# Needs fluidsynth, fluid-soundfont-gm, timgm6mb-soundfont, openttd-openmsx and planetblupi-music-midi (Debian's names).
# Existing data and latents are kept; an existing training run is an error, so that none is overwritten.
set -eu

work=runs/demo_weights
openmsx=/usr/share/games/openttd/baseset/openmsx
planetblupi=/usr/share/planetblupi/music
timgm=/usr/share/sounds/sf2/TimGM6mb.sf2

# For the first stages: grooves, and OpenMSX's songs with two soundfonts and two maps of instruments to stems.
python prepare_data.py synthetic --out $work/grooves --songs 80 --seconds 41
python prepare_data.py midi --midi $openmsx --out $work/midi --missing-stem silent
python prepare_data.py midi --midi $openmsx --out $work/midi_tim --missing-stem silent --soundfont $timgm
python prepare_data.py midi --midi $openmsx --out $work/midi_broad --missing-stem silent \
    --stem-map ckpt/demo/broad_stems.yaml
python prepare_data.py midi --midi $planetblupi --out $work/midi_valid --missing-stem silent
# For the U-Net: first grooves of a narrow range of tempi, on which so small a model learns a common beat.
grooves="python prepare_data.py synthetic --bpm 105 125 --meter 4"
$grooves --out $work/grooves_4 --songs 240 --seconds 15.5 --seed 10
$grooves --out $work/grooves_4_valid --songs 32 --seconds 5.2 --seed 11

# Three rounds; the first two end before their cosine does, the first 87 batches into its second epoch.
vae="python train_first_stage.py --config config/vae_train.yaml config/demo.yaml config/demo_weights/vae.yaml"
first="$vae run_dir=$work/vae_1 trainer.max_steps=1900 first_stage.learning_rate=1.5e-3 first_stage.kl_weight=1.0e-3"
$first trainer.max_epochs=1
$first trainer.max_epochs=2 trainer.limit_train_batches=87 trainer.resume=last
$vae run_dir=$work/vae_2 trainer.max_steps=2200 trainer.max_epochs=1 trainer.limit_train_batches=600 seed=1 \
    first_stage.learning_rate=1.2e-3 model.params.vae_ckpt_path=$work/vae_1/checkpoints/last.ckpt
$vae seed=2 model.params.vae_ckpt_path=$work/vae_2/checkpoints/last.ckpt

python train_first_stage.py --config config/vocoder_train.yaml config/demo.yaml config/demo_weights/vocoder.yaml

synctrack="--config config/synctrack_train.yaml config/demo.yaml config/demo_weights/synctrack.yaml"
python prepare_data.py latents $synctrack --offsets 2 --out $work/latents
# Two rounds, on two devices: two processes of one thread each are quicker on two cores than one of two threads.
export OMP_NUM_THREADS=1
train="python train_synctrack.py $synctrack trainer.devices=2"
$train run_dir=$work/synctrack_1 trainer.max_steps=3000 model.params.base_learning_rate=8.0e-4 \
    model.params.warmup_steps=200 model.params.ema_decay=0.999 trainer.validation_every_n_steps=1000
$train trainer.max_steps=500 model.params.base_learning_rate=2.0e-4 seed=1 \
    model.params.ckpt_path=$work/synctrack_1/checkpoints/last.ckpt

# Then it learns to be steered, on grooves of all tempi and meters, in four rounds: two at
# one rate, each followed by one at a lower rate, of which the last gives the weights.
grooves="python prepare_data.py synthetic"
$grooves --out $work/grooves_all --songs 560 --seconds 15.5 --seed 20
$grooves --out $work/grooves_all_valid --songs 48 --seconds 5.2 --seed 21
steering="$synctrack config/demo_weights/steering.yaml"
python prepare_data.py latents $steering --offsets 1 --out $work/latents_all
train="python train_synctrack.py $steering trainer.devices=2"
$train run_dir=$work/steering_1 trainer.max_steps=2200
$train run_dir=$work/steering_2 trainer.max_steps=450 model.params.base_learning_rate=1.25e-4 \
    model.params.warmup_steps=20 seed=1 model.params.ema_decay=0.995 \
    model.params.ckpt_path=$work/steering_1/checkpoints/last.ckpt
# More of what is hardest to learn: nothing given, and prefixes.
given=model.params.given
$train run_dir=$work/steering_3 trainer.max_steps=1400 model.params.base_learning_rate=7.0e-4 seed=2 \
    model.params.ckpt_path=$work/steering_2/checkpoints/last.ckpt trainer.validation_every_n_steps=1000 \
    $given.nothing=0.45 $given.stems=0.27 $given.span=0.04 $given.prefix=0.18 $given.cells=0.06 $given.click=0.4
$train trainer.max_steps=450 model.params.base_learning_rate=1.5e-4 model.params.warmup_steps=20 \
    seed=1 model.params.ema_decay=0.995 model.params.ckpt_path=$work/steering_3/checkpoints/last.ckpt \
    $given.nothing=0.4 $given.stems=0.3 $given.span=0.06 $given.prefix=0.16

rm -f ckpt/demo/*.safetensors
for part in vae vocoder; do
    python -m synctrack.checkpoint convert $work/$part/checkpoints/last.ckpt ckpt/demo/$part.safetensors --half
done
python -m synctrack.checkpoint convert $work/steering/checkpoints/last.ckpt ckpt/demo/synctrack.safetensors --half
